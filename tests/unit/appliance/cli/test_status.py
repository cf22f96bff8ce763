"""svm status, over real gRPC."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.rpc.admin_views import GuestView
from appliance.scanning.result import EngineState
from tests.support.admin_side_server import AdminSide, admin_side
from tests.support.commands import NOON, svm

GUEST = GuestView("uid-0.pid-7", "web\x1b[2J", "0.1.0", NOON - 3700, 1_234_567, 890)
YARA = EngineState("yara", "1.23", True, "", 5849)
CLAMD = EngineState("clamd", "", False, "no answer on /run/clamav/clamd.ctl: start clamd")


@pytest.fixture
def side(tmp_path: Path) -> Iterator[AdminSide]:
    """An SVM with a guest and an engine that is ready."""
    with admin_side(tmp_path) as running:
        running.control.view = replace(running.control.view, guests=(GUEST,), engines=(YARA,))
        running.control.numbers = {"guests_attached": 1, "protection_digests": 1234567}
        yield running


def test_people_see_engines_guests_and_how_long_it_runs(side: AdminSide) -> None:
    """The text has one line a guest and an engine; a guest's words cannot steer the terminal."""
    ran = svm("status", "--socket", side.path, now=NOON + 7260)
    assert (ran.code, ran.err) == (0, "")
    assert "version     1.2.3\n" in ran.out
    assert "running     for 2 h 1 min, since 2030-03-17 17:46:40 UTC\n" in ran.out
    assert "generation  00000000000000ab\n" in ran.out
    assert "sandbox     in force\n" in ran.out
    assert "yara    ready       5,849  1.23" in ran.out
    assert "uid-0.pid-7  web?[2J       0.1.0  3 h 2 min      1,234,567             890" in ran.out
    assert "protection_digests" not in ran.out


def test_people_see_how_many_guests_scan(side: AdminSide) -> None:
    """And what holds them back."""
    side.control.numbers = {
        "scan_slots_used": 1,
        "scan_slots_waiting": 30,
        "scan_slots": 2,
        "scan_slots_most": 4,
        "pressure_io": 41.7,
    }
    assert (
        "scans       1 run and 30 wait for one of 2 slots, 4 at the most; "
        "pressure cpu 0 %, io 42 %, memory 0 %, steal 0 %\n"
    ) in svm("status", "--socket", side.path).out


def test_figures_are_shown_when_asked_for(side: AdminSide) -> None:
    """--figures adds every figure, sorted."""
    lines = svm("status", "--figures", "--socket", side.path).out.splitlines()
    assert lines[-2:] == ["guests_attached     1", "protection_digests  1234567"]


def test_programs_get_all_of_it(side: AdminSide) -> None:
    """--json has the same, with times in ISO form and the figures."""
    shown = svm("status", "--json", "--socket", side.path).json
    assert shown["generation"] == "00000000000000ab"
    assert shown["started"] == "2030-03-17T17:46:40Z"
    assert shown["guests"][0]["host_name"] == GUEST.host_name
    assert shown["guests"][0]["attached"] == "2030-03-17T16:45:00Z"
    assert shown["engines"][0]["signatures"] == 5849
    assert shown["figures"]["protection_digests"] == 1234567
    assert shown["unsandboxed"] is False


def test_an_engine_that_is_not_ready_shows_in_the_exit_code(side: AdminSide) -> None:
    """A monitor needs no parsing: 1 when an engine does not answer, and the text says why."""
    side.control.view = replace(side.control.view, engines=(YARA, CLAMD), guests=())
    ran = svm("status", "--socket", side.path)
    assert ran.code == 1
    assert "clamd   NOT READY" in ran.out
    assert CLAMD.problem in ran.out
    assert "no guest is attached" in ran.out


def test_an_svm_without_sandbox_says_so(side: AdminSide) -> None:
    """Nobody runs unsandboxed without seeing it."""
    side.control.view = replace(side.control.view, unsandboxed=True)
    assert "sandbox     NONE: the settings accept the risk\n" in svm("status", "--socket", side.path).out


def test_the_socket_comes_from_the_environment_or_the_settings(side: AdminSide, tmp_path: Path) -> None:
    """KVMLA_ADMIN_SOCKET and server.admin name the SVM where --socket does not."""
    assert svm("status", environ={"KVMLA_ADMIN_SOCKET": str(side.path)}).code == 0
    config = tmp_path / "svm.toml"
    config.write_text(f'[server]\nadmin = "{side.path}"\n')
    assert svm("status", "--config", config).code == 0


def test_without_an_svm_it_says_what_to_do(tmp_path: Path) -> None:
    """One line, exit code 2."""
    ran = svm("status", "--socket", tmp_path / "none.sock")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"svm: no SVM answers on {tmp_path}/none.sock: is `svm serve` running?")
    assert ran.err.count("\n") == 1
