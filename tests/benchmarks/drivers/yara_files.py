"""Bare YARA-X on files, one after another, in one process with one Scanner.

Settings: rules (a directory of rule files), files (a file of NUL-separated paths). Question: {};
answer: {"seconds", "matches"}. Compiling is over when it says it is ready.
"""

import os
import time
from pathlib import Path
from typing import Any

import yara_x

from tests.benchmarks.drivers import serve, settings


def main() -> None:
    """Compile, then scan on each question."""
    given = settings()
    paths = [os.fsdecode(path) for path in Path(given["files"]).read_bytes().split(b"\0") if path]
    compiler = yara_x.Compiler()
    compiler.define_global("filename", "")  # as rule sets expect it
    for file in sorted(Path(given["rules"]).iterdir()):
        compiler.new_namespace(file.name)
        compiler.add_source(file.read_text())
    scanner = yara_x.Scanner(compiler.build())

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        began, matches = time.perf_counter(), 0
        for path in paths:
            matches += len(scanner.scan_file(path).matching_rules)
        return {"seconds": time.perf_counter() - began, "matches": matches}

    serve(answer)


if __name__ == "__main__":
    main()
