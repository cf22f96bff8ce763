"""Tries a worker as whoever runs this, and prints what came of it for `svm doctor`, which root runs."""

import asyncio
import os
import sys

from appliance.config import load
from appliance.doctor.workers import as_json, probe


def main(arguments: list[str]) -> None:
    """Print it as JSON. arguments: ["whole"] for all signatures."""
    print(as_json(asyncio.run(probe(load(None, os.environ), "whole" in arguments))))


if __name__ == "__main__":
    main(sys.argv[1:])
