"""Tests of `guest-stub enrol` and `guest-stub renew`."""

import io
from pathlib import Path

import pytest

from guest_stub.cli import enrol as module
from guest_stub.cli.arguments import parse
from guest_stub.cli.enrol import enrol, renew
from guest_stub.cli.setup import prepare
from guest_stub.identity.host_offer import Offer
from guest_stub.identity.port import Ports
from guest_stub.svm_link.target import IdentityProblem
from tests.support.enrolment_side_server import TOKEN, TlsSideServer, tls_serving


async def ran(directory: Path, *words: str, environ: dict[str, str] | None = None) -> list[str]:
    """The lines of a command."""
    (directory / "stub.toml").write_text("")
    where = ["--state", str(directory / "state"), "--config", str(directory / "stub.toml")]
    options, lines = parse([*words, *where]), list[str]()
    command = enrol if options.command == "enrol" else renew
    assert await command(options, prepare(options, environ or {}), lines.append) == 0
    return lines


async def enrolled(directory: Path, side: TlsSideServer, *token: str, **more: dict[str, str]) -> list[str]:
    """The lines of enrolling."""
    return await ran(directory, "enrol", *side.words, *token, **more)


async def test_it_says_as_whom_and_where(tmp_path: Path) -> None:
    """The machine and the host's name are told to the SVM."""
    async with tls_serving() as side:
        lines = await enrolled(tmp_path, side, "--token", TOKEN)
        assert lines[0].startswith("enrolled: guest ")
        assert lines[0].endswith(" of tenant default")
        assert lines[1] == f"svm: {side.target}"
        assert len(side.register.asked[0].machine) == 32
        assert not any("note" in line for line in lines)


async def test_a_token_that_was_used_here_is_told_from_a_new_one(tmp_path: Path) -> None:
    """Nothing was asked, so nobody is to think that a guest that was revoked meanwhile is let in again."""
    async with tls_serving() as side:
        first = await enrolled(tmp_path, side, "--token", TOKEN)
        guest = first[0].split()[2]
        side.register.revoked[guest] = "revoked"
        assert await enrolled(tmp_path, side, "--token", TOKEN) == [
            f"was enrolled by this token before: guest {guest} of tenant default",
            f"svm: {side.target}",
            "nothing was asked: `guest-stub status` tells whether that still counts",
        ]
        assert len(side.register.asked) == 1
    assert first[-1] == "a `guest-stub run` that is running notices when it next connects"


async def test_settings_that_name_another_svm_are_said(tmp_path: Path) -> None:
    """Else nobody would understand why the other one is asked."""
    async with tls_serving() as side:
        lines = await enrolled(tmp_path, side, "--token", TOKEN, environ={"KVMLA_SVM": "unix:/x"})
    assert any("the settings say svm = unix:/x, and that counts" in line for line in lines)


async def test_a_token_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or from the standard input: it does not stand in the list of processes then."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    async with tls_serving() as side:
        await enrolled(tmp_path, side, "--token-file", str(tmp_path / "token"))
        side.register.tokens.add("second")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"second\n")))
        await enrolled(tmp_path, side, "--token-file", "-")
        assert [asked.token for asked in side.register.asked] == [TOKEN, "second"]  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"", b"a\nb\n", b"\xff", b"x" * 129, b"x" * 100_000])
async def test_a_file_that_is_no_token_is_not_sent(tmp_path: Path, content: bytes) -> None:
    """Nor read to its end, or repeated."""
    (tmp_path / "token").write_bytes(content)
    async with tls_serving() as side:
        with pytest.raises(IdentityProblem, match="token: this is no token: it is one word"):
            await enrolled(tmp_path, side, "--token-file", str(tmp_path / "token"))
        with pytest.raises(FileNotFoundError):
            await enrolled(tmp_path, side, "--token-file", str(tmp_path / "none"))
        assert side.register.asked == []


async def test_renewing_says_until_when(tmp_path: Path) -> None:
    """Or that it is not time for it."""
    async with tls_serving() as side:
        await enrolled(tmp_path, side, "--token", TOKEN)
        assert (await ran(tmp_path, "renew"))[0].startswith("not due before ")
        assert (await ran(tmp_path, "renew", "--now"))[0].startswith("renewed: until ")


async def test_the_host_is_asked_for_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as it was told."""
    waited = list[float]()
    async with tls_serving() as side:

        def ask(_ports: object, _key: bytes, seconds: float) -> Offer:
            waited.append(seconds)
            place = side.place
            return Offer(
                TOKEN, (place.host, place.port), (place.host, place.enrolment_port), place.fingerprint
            )

        monkeypatch.setattr(module, "ask", ask)
        lines = await ran(tmp_path, "enrol", "--from-host", "--wait", "7")
    assert lines[:2] == [f"enrolled: guest {lines[0].split()[2]} of tenant default", f"svm: {side.target}"]
    assert waited == [7.0]


async def test_what_goes_with_a_token_goes_with_no_host(tmp_path: Path) -> None:
    """And the other way round: nobody is to think that it counted."""
    with pytest.raises(IdentityProblem, match="give --svm and --ca-fingerprint with the token"):
        await ran(tmp_path, "enrol", "--token", TOKEN)
    with pytest.raises(IdentityProblem, match="--from-host goes without --svm"):
        await ran(tmp_path, "enrol", "--from-host", "--svm", "h")


async def test_without_a_port_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on this machine."""
    monkeypatch.setattr(module, "Ports", lambda: Ports(tmp_path, tmp_path, tmp_path))
    with pytest.raises(IdentityProblem, match="this machine has no port"):
        await ran(tmp_path, "enrol", "--from-host", "--wait", "1")
