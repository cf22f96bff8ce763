"""Tests of `guest-stub status`."""

from pathlib import Path

from guest_stub.cli.arguments import parse
from guest_stub.cli.setup import prepare
from guest_stub.cli.status import status
from tests.support.guest_side_server import serving


async def told(target: str, state: Path) -> tuple[int, dict[str, str]]:
    """Exit code, and what is said by name."""
    lines: list[str] = []
    code = await status(prepare(parse(["status", "--svm", target, "--state", str(state)]), {}), lines.append)
    return code, {name: value for name, _, value in (line.partition(": ") for line in lines)}


async def test_an_svm_that_answers(tmp_path: Path) -> None:
    """Its generation and limits are shown, and what is kept of earlier scans."""
    async with serving(tmp_path / "svm.sock") as server:
        code, said = await told(server.target, tmp_path / "state")
    assert code == 0
    assert said == {
        "state": str(tmp_path / "state"),
        "decisions": "0 files",
        "svm": server.target,
        "attached": "yes",
        "generation": "0000000000000007",
        "largest file": "67,108,864 bytes",
        "largest batch": "1,024 digests",
    }


async def test_no_svm(tmp_path: Path) -> None:
    """The reason is shown, and the code is 2."""
    code, said = await told(f"unix:{tmp_path}/no.sock", tmp_path / "state")
    assert code == 2
    assert said["attached"].startswith("no: unix:")
    assert "is the SVM running" in said["attached"]
