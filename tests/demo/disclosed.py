"""What left for KSN, as `svm ksn ledger` shows it: the account that the SVM keeps, not the demo's."""

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.demo.programs import BIN, ProgramFailed, environment


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger. requests: as `svm ksn ledger --json` gives them. problem: "" where it is whole."""

    requests: tuple[dict[str, Any], ...]
    entries: int
    problem: str
    last: str

    @property
    def calls(self) -> Counter[str]:
        """How many requests there were of each call."""
        return Counter(request["call"] for request in self.requests)

    def about(self, digest: bytes) -> list[dict[str, Any]]:
        """The requests that asked about a digest."""
        return [request for request in self.requests if request["fields"].get("digest") == digest.hex()]


def read_ledger(state: Path) -> Ledger:
    """Read the ledger of a state directory, and have it verified. Raises ProgramFailed."""
    requests = _said(["--dir", str(state)], good=(0,))
    verified = _said(["verify", "--dir", str(state)], good=(0, 1))  # 1: it is not whole
    return Ledger(tuple(requests), verified["entries"], verified["problem"] or "", verified["last"])


def shown(request: dict[str, Any]) -> str:
    """A request in one line."""
    fields = ", ".join(f"{name} {value}" for name, value in request["fields"].items())
    return f"{request['call']}: {fields}; {request['mode']} mode, for {request['guest']}: {request['result']}"


def _said(words: Sequence[str], good: Sequence[int]) -> Any:
    done = subprocess.run(
        [BIN / "svm", "ksn", "ledger", "--json", *words],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if done.returncode not in good:
        raise ProgramFailed(f"svm ksn ledger ended with exit code {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)
