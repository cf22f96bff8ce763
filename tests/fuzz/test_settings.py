"""Settings files: the shipped examples with every line in force, and what becomes of them in an editor."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import appliance.config
import appliance.config_file
import appliance.private_ksn.settings
import guest_stub.config
from tests.fuzz.mutation import mutated
from tests.support.properties import fuzzing

ROOT = Path(__file__).parents[2]


def in_force(path: str) -> bytes:
    """An example whose settings all count: they stand there as comments."""
    text = (ROOT / path).read_text()
    return re.sub(r"(?m)^#\s?(?=\[|\w+ *= )", "", text).encode()


WORDS = [
    *(
        b"[",
        b"]",
        b"[[",
        b"=",
        b"\n",
        b'"',
        b"'''",
        b"#",
        b".",
        b"{",
        b"}",
        b"true",
        b"nan",
        b"-inf",
        b"1e400",
    ),
    *(b"[]", b"{}", b'""', b"-1", b"9" * 5000, b"1979-05-27T07:32:00Z", b"99:99:99", b"\\u0000", b"\xff"),
    *(
        b"[on_access]",
        b"[ksn]",
        b"[engines.yara]",
        b'"a.b"',
        b"\r",
        b"\xc2\x85",
        b"unix:",
        b"tcp:[::1]:99999",
    ),
]
FILES = [
    (
        "appliance/svm.example.toml",
        lambda path: appliance.config.load(path, {}),
        appliance.config_file.ConfigError,
    ),
    (
        "guest_stub/guest-stub.example.toml",
        lambda path: guest_stub.config.load(path, {}),
        guest_stub.config.ConfigError,
    ),
    (
        "appliance/private_ksn/private-ksn.example.toml",
        appliance.private_ksn.settings.load,
        appliance.private_ksn.settings.SettingsError,
    ),
]


def lines_of(path: str) -> st.SearchStrategy[bytes]:
    """Some lines of a file, so that a change is not lost among hundreds of others."""
    lines = in_force(path).splitlines(keepends=True)
    return st.lists(st.sampled_from(lines), min_size=1, max_size=6).map(b"".join)


@pytest.mark.hypothesis
@pytest.mark.parametrize(("example_", "load", "error"), FILES, ids=["svm", "guest-stub", "private-ksn"])
def test_a_settings_file_is_read_or_refused_with_a_sentence(
    tmp_path: Path, example_: str, load: Callable[[Path], object], error: type[Exception]
) -> None:
    """Its one exception and nothing else; what it says names the file."""
    path = tmp_path / "settings.toml"

    @fuzzing
    @given(mutated(st.just(in_force(example_)) | lines_of(example_) | lines_of(example_), WORDS))
    @example(b"a = " + b"[" * 10_000)
    @example(b"x = " + b"9" * 5000)
    @example(b"#" * 300_000)
    @example(b"x = 99999-99-99")
    def read(data: bytes) -> None:
        path.write_bytes(data)
        refused = ""
        try:
            load(path)
        except error as sentence:
            refused = str(sentence)
        assert not refused or str(path) in refused

    path.write_bytes(in_force(example_))
    with suppress(error):  # some settings exclude each other
        load(path)
    read()
