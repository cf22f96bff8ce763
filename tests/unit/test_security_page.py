"""docs/security.md keeps its word: its tests exist, its table of calls is that of the code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.caller import Role
from appliance.rpc.access import ACCESS, ANYBODY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROLES = (Role.GUEST, Role.PROVIDER, Role.TENANT_ADMIN, Role.AUDITOR, Role.HOST_AGENT)

TURNED = {
    Role.GUEST: "root in a guest",
    Role.TENANT_ADMIN: "a tenant's administrator",
    Role.AUDITOR: "an auditor",
    Role.HOST_AGENT: "a host agent that was taken over",
}

# Who imports xxHash, and what for. A new one is thought about: may what it makes decide about a file?
CHECKSUMS = {
    "appliance/private_ksn/records.py",
    "appliance/rpc/scan.py",  # of a chunk on its way
    "appliance/state/record.py",
    "appliance/state/event_record.py",
    "appliance/verdicts/record.py",
    "guest_stub/detected.py",  # of a file of digests
    "guest_stub/records.py",
    "guest_stub/sought.py",
    "guest_stub/svm_link/packing.py",  # of a chunk on its way
}
FINGERPRINTS = {  # of signatures: what makes a generation
    "appliance/scanning/engines/engine.py",
    "appliance/scanning/engines/hashlist.py",
    "appliance/scanning/engines/yara.py",
    "appliance/scanning/scanner.py",
}
PARSERS = {"yara_x", "libarchive"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def access_table() -> list[str]:
    """The table of who may call what, as the page has it."""
    head = ["call", *map(str, ROLES)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for method, roles in ACCESS.items():
        service, _, name = method.removeprefix("/").removeprefix("lightagent.v1.").partition("/")
        ticks = (
            ["anybody"] * len(ROLES) if roles is ANYBODY else ["x" if role in roles else "" for role in ROLES]
        )
        lines.append(f"| `{service}.{name}` | {' | '.join(ticks)} |")
    return lines


def those_in(path: Path) -> set[str]:
    """The names of the tests in a file."""
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE))


def named() -> set[tuple[str, str]]:
    """Every test that the page names: file below tests/, function."""
    return set(re.findall(r"`([a-z_/0-9]+\.py)::(\w+)`", PAGE))


def importers(library: str) -> Iterator[str]:
    """The modules of the product that import a library."""
    line = re.compile(rf"^\s*(?:import|from) {library}\b", re.MULTILINE)
    for path in (*(ROOT / "appliance").rglob("*.py"), *(ROOT / "guest_stub").rglob("*.py")):
        if line.search(path.read_text()):
            yield str(path.relative_to(ROOT))


@pytest.mark.parametrize(("file", "test"), sorted(named()))
def test_each_test_that_is_named_exists(file: str, test: str) -> None:
    """In the file that the page says."""
    assert test in those_in(ROOT / "tests" / file)


def test_each_promise_names_a_test() -> None:
    """What is promised is kept by something, and shown by a test at least."""
    promises = rows("What is promised, and which test shows it")
    assert len(promises) > 20
    for promise, kept, shown in promises:
        assert promise
        assert kept
        assert re.search(r"`[a-z_/0-9]+\.py::test_\w+`", shown), promise


def test_each_rule_is_promised() -> None:
    """By its number."""
    promises = " ".join(promise for promise, *_ in rows("What is promised, and which test shows it"))
    promised = {int(number) for number in re.findall(r"\(rule (\d)\)", promises)}
    rules = PAGE.partition("\n## The rules that everything is built on\n")[2].partition("\n## ")[0]
    numbers = {int(number) for number in re.findall(r"^(\d)\. ", rules, re.MULTILINE)}
    assert promised == numbers == set(range(1, 7))


def test_the_table_of_calls_is_that_of_the_code() -> None:
    """Row by row; `access_table` gives the lines to be put there."""
    table = access_table()
    shown = PAGE.partition(table[0])[2].partition("\n\n")[0]
    assert [table[0], *shown.strip().splitlines()] == table


def test_every_role_is_explained() -> None:
    """By the word that certificates have for it."""
    assert {cells[0].strip("`") for cells in rows("Who may do what")} >= set(map(str, Role))


def test_what_each_role_gains_when_it_turns_against_us_is_said() -> None:
    """But the provider's, who is trusted, and other SVMs', which may do nothing yet."""
    attackers = {who for who, *_ in rows("What an attacker gains")}
    assert attackers >= {TURNED[role] for role in ROLES if role is not Role.PROVIDER}
    (agent,) = (cells for cells in rows("What an attacker gains") if cells[0] == TURNED[Role.HOST_AGENT])
    assert "whose certificate has ended" in agent[1]
    assert "has a certificate that counts" in agent[2]


def test_every_link_leads_somewhere() -> None:
    """Decisions and other pages, below docs/."""
    links = re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", PAGE)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []


def test_xxhash_makes_checksums_and_fingerprints_alone() -> None:
    """It is not collision-resistant: nothing that decides about a file may import it."""
    assert set(importers("xxhash")) == CHECKSUMS | FINGERPRINTS


def test_what_parses_content_is_imported_by_workers_alone() -> None:
    """The libraries that read strangers' bytes have one module each, and `svm serve` loads neither."""
    found = {library: set(importers(library)) for library in PARSERS}
    assert found == {
        "yara_x": {"appliance/scanning/engines/yara.py"},
        "libarchive": {"appliance/scanning/archive.py"},
    }
    loaded = "import sys, appliance.cli.program, appliance.composition; print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    ran = subprocess.run(
        [sys.executable, "-c", loaded], env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert set(ran.stdout.split()) & PARSERS == set()
