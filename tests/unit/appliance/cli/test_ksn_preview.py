"""svm ksn preview: everything that could be sent, and nothing is."""

import hashlib
import socket
from pathlib import Path

import pytest

from tests.support.commands import Ran, svm

HEX = "ab" * 32


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is connected to, no name is looked up."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a preview used the network")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)


def preview(*words: object) -> Ran:
    """Run `svm ksn preview`."""
    return svm("ksn", "preview", *words)


def lines(ran: Ran, mode: str) -> list[list[str]]:
    """The calls of a mode: call, field, value."""
    assert (ran.code, ran.err) == (0, "")
    part = ran.out.split(f"in {mode} mode:\n")[1].split("\n\n")[0]
    return [line.split(maxsplit=1) for line in part.splitlines()[1:]]


def test_a_digest_is_asked_about_in_each_mode() -> None:
    """Nothing else is known of it."""
    ran = preview(HEX.upper())
    assert lines(ran, "standard") == lines(ran, "extended") == [["hash", f"digest  {HEX}"]]
    assert ran.out.endswith("nothing was sent\n")


def test_a_file_leaves_in_extended_mode_alone(tmp_path: Path) -> None:
    """In standard mode it is its digest; its name is in neither."""
    path = tmp_path / "secret-name.bin"
    content = b"#!" + b"x" * 1232
    path.write_bytes(content)
    ran, digest = preview(path), hashlib.sha256(content).hexdigest()
    assert lines(ran, "standard") == [["hash", f"digest  {digest}"]]
    extended = [" ".join(" ".join(line).split()) for line in lines(ran, "extended")]
    assert extended == [
        f"hash digest {digest}",
        f"submit submitted digest {digest}",
        f"submit content sha256 {digest}, offset 0, length 1234",
        f"result analysed digest {digest}",
    ]
    assert "secret-name" not in ran.out


def test_of_a_large_file_its_part_is_shown(tmp_path: Path) -> None:
    """As the provider has set it: the content by digest, offset and length of what would leave."""
    path, config = tmp_path / "large.sh", tmp_path / "svm.toml"
    path.write_bytes(b"#!" + b"x" * (3 << 20))
    config.write_text("[ksn.submit]\nmax_file_mib = 2\npart_mib = 1\n")
    ran = preview(path, "--config", config)
    part = hashlib.sha256(b"#!" + b"x" * ((1 << 20) - 2)).hexdigest()
    shown = [" ".join(line) for line in lines(ran, "extended")]
    assert f"submit content           sha256 {part}, offset 0, length 1048576" in shown


def test_a_document_is_said_to_need_the_word_of_both(tmp_path: Path) -> None:
    """Where the provider has none submitted it is not shown; else with the conditions."""
    path, config = tmp_path / "letter.pdf", tmp_path / "svm.toml"
    path.write_bytes(b"%PDF-1.7")
    ran = preview(path)
    assert [line[0] for line in lines(ran, "extended")] == ["hash"]
    assert "the provider has none submitted (ksn.submit.documents)" in ran.out
    config.write_text("[ksn.submit]\ndocuments = true\n")
    ran = preview(path, "--config", config)
    assert [line[0] for line in lines(ran, "extended")] == ["hash", "submit", "submit", "result"]
    assert "and the tenant allows it (svm policy change --documents yes)" in ran.out


def test_what_every_system_holds_is_never_asked_about(tmp_path: Path) -> None:
    """The empty file, by name or by digest."""
    path = tmp_path / "empty"
    path.touch()
    for subject in (path, hashlib.sha256(b"").hexdigest()):
        ran = preview(subject)
        assert lines(ran, "standard") == lines(ran, "extended") == []
        assert "every system holds this content: KSN is never asked about it" in ran.out


def test_what_is_neither_program_nor_document_is_not_submitted(tmp_path: Path) -> None:
    """An archive, a picture: in extended mode too no more than its digest leaves."""
    path = tmp_path / "letters.zip"
    path.write_bytes(b"PK\x03\x04")
    ran = preview(path)
    assert [line[0] for line in lines(ran, "extended")] == ["hash"]
    assert "it is submitted in no mode" in ran.out


def test_an_address_is_shown_as_it_would_leave() -> None:
    """Credentials and fragment in no mode, the query string in extended mode; then the hosts."""
    ran = preview("https://user:secret@www.example.com/a?b=c#d")
    standard = [" ".join(" ".join(line).split()) for line in lines(ran, "standard")]
    assert standard == [
        "url url https://www.example.com/a",
        "domain domain www.example.com",
        "domain domain example.com",
    ]
    extended = [" ".join(" ".join(line).split()) for line in lines(ran, "extended")]
    assert extended == [standard[0], "url query string ?b=c", *standard[1:]]
    assert "secret" not in ran.out


def test_a_host_of_ones_own_network_is_said_so() -> None:
    """A service outside can know nothing of it."""
    assert "this host is known in its own network only" in preview("http://intranet/").out
    assert "own network" not in preview("example.com").out


def test_what_is_nothing_that_could_be_asked_about_is_told() -> None:
    """A name of a file that is not here is not taken for a host."""
    ran = preview("nothing.exe")
    assert (ran.code, ran.out) == (2, "")
    assert "is no file that is here, no digest, and no address" in ran.err
    assert "is no scheme of the web" in preview("mailto://a").err


def test_a_very_long_address_is_no_name_of_a_file() -> None:
    """Longer than any file's name may be."""
    assert preview("example.com/" + "a" * 3000).code == 0
