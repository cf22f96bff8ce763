"""The file of a backup, and what it may not be."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.state.backup_file import (
    MAGIC,
    MAX_MANIFEST_BYTES,
    BadBackup,
    Manifest,
    Writer,
    is_part_name,
    read_manifest,
    read_parts,
)

PARTS = {"state.lmdb": b"state" * 1000, "events.lmdb": b"", "identity/ca.key": b"secret"}
PATH = Path("some.backup")


def written(directory: Path) -> Path:
    """A sound backup."""
    path = directory / "backup"
    with path.open("w+b") as file:
        writer = Writer(file)
        for name, data in PARTS.items():
            writer.add_bytes(name, data)
        writer.end(5.0, "1.2.3", {"state.lmdb": 1})
    return path


def read(data: bytes) -> tuple[Manifest, dict[str, bytes]]:
    """All that a backup holds."""
    file = io.BytesIO(data)
    manifest = read_manifest(file, PATH)
    sinks = {name: io.BytesIO() for name in manifest.names()}
    read_parts(file, PATH, manifest, sinks)
    return manifest, {name: sink.getvalue() for name, sink in sinks.items()}


def forged(body: bytes = b"", **fields: Any) -> bytes:
    """A backup whose manifest says what a test wants, and whose sums are right."""
    empty = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    parts = [{"name": name, **empty} for name in ("state.lmdb", "events.lmdb")]
    said = {"format": 1, "made_at": 5.0, "program": "1", "schemas": {}, "parts": parts, **fields}
    data = json.dumps(said).encode()
    return MAGIC + body + data + len(data).to_bytes(4, "big") + hashlib.sha256(data).digest()


def part(name: str, size: object = 0, sha256: object = "") -> dict[str, object]:
    """A part as a manifest names it."""
    return {"name": name, "bytes": size, "sha256": sha256 or hashlib.sha256(b"").hexdigest()}


TWO = [part("state.lmdb"), part("events.lmdb")]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """All parts, and what is said of them."""
    manifest, parts = read(written(tmp_path).read_bytes())
    assert parts == PARTS
    assert (manifest.made_at, manifest.program, manifest.schemas) == (5.0, "1.2.3", {"state.lmdb": 1})


def test_no_bit_of_it_can_change_and_no_byte_be_missing(tmp_path: Path) -> None:
    """Wherever it is damaged or cut, that is said."""
    data = written(tmp_path).read_bytes()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(BadBackup):
            read(bytes(changed))
        with pytest.raises(BadBackup):
            read(data[:place])
    with pytest.raises(BadBackup):
        read(data + b"x")


@pytest.mark.parametrize(
    "name",
    [
        "../state.lmdb", "/etc/passwd", "identity/../ca.key", "identity/a/b", "identity/", "identity/.",
        "identity/..", "identity/.hidden", "identity", "cache.lmdb", "state.lmdb/x", "identity/a\0b",
        "identity/ä", "state.lmdb\n", "identity/" + "x" * 65, "",
    ],
)  # fmt: skip
def test_a_name_leads_nowhere(name: str) -> None:
    """Only the two files and plain names within the identity are names."""
    assert not is_part_name(name)
    with pytest.raises(BadBackup, match="damaged"):
        read(forged(parts=[*TWO, part(name)]))


@pytest.mark.parametrize(
    "fields",
    [
        {"parts": TWO[:1]}, {"parts": [*TWO, TWO[0]]}, {"parts": 5}, {"parts": [5]}, {"parts": [*TWO, {}]},
        {"parts": [TWO[0], part("events.lmdb", -1)]}, {"parts": [TWO[0], part("events.lmdb", 1)]},
        {"parts": [*TWO, *(part(f"identity/{number}") for number in range(63))]},
        {"parts": [*TWO, part("identity/ca.key", 1 << 40)]}, {"made_at": float("inf")}, {"made_at": -1},
        {"made_at": "x"}, {"schemas": 5}, {"schemas": {"state.lmdb": "x"}}, {"format": "x"},
    ],
)  # fmt: skip
def test_a_manifest_without_a_meaning_is_refused(fields: dict[str, Any]) -> None:
    """Also where its own sum is right."""
    with pytest.raises(BadBackup, match="damaged"):
        read(forged(**fields))


def test_a_newer_format_and_another_file_are_told_apart() -> None:
    """The sentences say what to do."""
    with pytest.raises(BadBackup, match="of format 2, this program knows 1: run the newer svm"):
        read(forged(format=2))
    with pytest.raises(BadBackup, match="is no backup of an SVM"):
        read(b"PK\3\4" + bytes(100))
    with pytest.raises(BadBackup, match="cut off"):
        read(MAGIC)


def test_a_manifest_is_bounded() -> None:
    """However large the file is, no more of it is read as a manifest."""
    with pytest.raises(BadBackup, match="damaged"):
        read(forged(program="x" * MAX_MANIFEST_BYTES))


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_bytes_of_anybody_end_as_a_sentence(data: bytes, length: int) -> None:
    """Nothing but BadBackup, whatever stands there; also where the manifest's sum is right."""
    sealed = data + length.to_bytes(4, "big") + hashlib.sha256(data[-length:]).digest()
    for whole in (
        data,
        MAGIC + data,
        MAGIC + sealed,
        MAGIC + data + len(data).to_bytes(4, "big") + hashlib.sha256(data).digest(),
    ):
        with pytest.raises(BadBackup):
            read(whole)
