"""Golden files: what libvirt is told, as people read it. GOLDEN=write pytest ... writes them anew."""

import os
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "data"


def check(name: str, text: str) -> None:
    """Compare with the file of that name."""
    path = DIRECTORY / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: GOLDEN=write writes it anew, if it should"
