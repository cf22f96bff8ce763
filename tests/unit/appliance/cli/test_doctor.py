"""svm doctor, beside a real SVM and without one."""

import os
from pathlib import Path

import pytest

from tests.support.commands import Ran, svm, svm_program
from tests.support.relay import free_port
from tests.support.svm_process import svm_process, write_config

MARKS = ("", "ok", "note", "AMISS")


def marks(ran: Ran) -> dict[str, str]:
    """The mark of each thing that was looked at; the worst where it has several lines."""
    found: dict[str, str] = {}
    for line in ran.out.splitlines():
        mark, what = line[:5].strip(), line[7:].partition(":")[0]
        found[what] = max(found.get(what, ""), mark, key=MARKS.index)
    return found


def amiss(ran: Ran) -> list[str]:
    """Lines that begin with AMISS."""
    return [line for line in ran.out.splitlines() if line.startswith("AMISS")]


def test_beside_an_svm_that_is_well_nothing_is_amiss(tmp_path: Path) -> None:
    """On TCP with an identity: it is asked, its files are read while it writes them, its doors answer."""
    guests, enrolment, admin, metrics = (f"127.0.0.1:{free_port()}" for _ in range(4))
    doors = f'enrolment = "{enrolment}"\nadmin_listen = "{admin}"\nmetrics = "{metrics}"'
    config = write_config(tmp_path, listen=f"tcp:{guests}", doors=doors)
    assert svm_program("init", "--config", config, "--address", "127.0.0.1").code == 0
    with svm_process(tmp_path, listen=f"tcp:{guests}", doors=doors):
        ran = svm_program("doctor", "--config", config)
        assert (amiss(ran), ran.err, ran.code) == ([], "", 0)
        found = marks(ran)
        well = "settings svm files cache exposure ledger state events authority identity names copies clock"
        for what in (
            *well.split(),
            "sandbox",
            "seccomp",
            "worker",
            "engine eicar",
            "workers",
            "limits",
            "administrators",
        ):
            assert found[what] == "ok", what
        for setting in ("listen", "enrolment", "admin", "admin_listen", "metrics"):
            assert found[f"server.{setting}"] == "ok"
        assert (found["backup"], found["KSN"]) == ("note", "note")

        (tmp_path / "state/identity/ca.key").chmod(0o644)
        (tmp_path / "admin.sock").chmod(0o666)
        ran = svm_program("doctor", "--config", config, "--json")
        assert ran.code == 1
        assert {each["what"] for each in ran.json if each["state"] == "amiss"} == {"modes", "server.admin"}


def test_an_svm_that_cannot_be_asked_is_amiss(tmp_path: Path) -> None:
    """It holds the state, and its administration socket is gone: the rest is looked at all the same."""
    with svm_process(tmp_path) as running:
        (tmp_path / "admin.sock.id").unlink()
        ran = svm_program("doctor", "--config", tmp_path / "svm.toml")
        assert ran.code == 1
        assert f"AMISS  svm: process {running.process.pid} uses the state directory" in ran.out
        assert marks(ran)["worker"] == "ok"


def test_an_svm_that_runs_since_before_the_first_init_is_to_start_anew(tmp_path: Path) -> None:
    """It has no authority before that; started anew it has one, and nothing is said any more."""
    config = tmp_path / "svm.toml"
    with svm_process(tmp_path):
        assert "register" not in marks(svm_program("doctor", "--config", config))
        assert svm_program("init", "--config", config, "--address", "127.0.0.1").code == 0
        ran = svm_program("doctor", "--config", config)
        said = "note   register: the SVM that serves took no authority when it started: start it anew\n"
        assert (said in ran.out, ran.code) == (True, 0)
    with svm_process(tmp_path):
        found = marks(svm_program("doctor", "--config", config))
        assert ("register" in found, found["administrators"]) == (False, "ok")


def test_where_none_serves_it_says_so_and_looks_at_the_rest(tmp_path: Path) -> None:
    """Before the first start, with a worker that reads all signatures; nothing is made there."""
    (tmp_path / "list.txt").write_text("no hash at all\n")
    config = write_config(tmp_path, hashlists=tmp_path)
    ran = svm_program("doctor", "--config", config, "--online")
    found = marks(ran)
    assert ran.code == 1
    assert "note   KSN: not tried: only an SVM that serves asks it" in ran.out
    assert (found["svm"], found["state directory"], found["identity"]) == ("note", "note", "note")
    assert (found["sandbox"], found["worker"], found["server.listen"]) == ("ok", "ok", "ok")
    assert [line.partition(": ")[0] for line in amiss(ran)] == ["AMISS  signatures"]
    assert f"{tmp_path}/list.txt:1" in ran.out
    assert not (tmp_path / "state").exists()


def test_whatever_lies_in_the_state_directory_is_a_line(tmp_path: Path) -> None:
    """Files that are something else, in each place: each is amiss, and the rest is looked at."""
    state = tmp_path / "state"
    (state / "identity").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    names = (
        "state.lmdb",
        "events.lmdb",
        "cache.lmdb",
        "exposure.lmdb",
        "identity/ca.pem",
        "identity/server.key",
    )
    for name in names:
        (state / name).write_bytes(b"nothing of an SVM" * 5000)
        (state / name).chmod(0o600)
    ran = svm_program("doctor", "--config", write_config(tmp_path))
    assert ran.code == 1
    found = marks(ran)
    for what in ("state", "events", "cache", "exposure", "identity", "register"):
        assert found[what] == "AMISS", what
    for what in ("files", "disk", "clock", "sandbox", "worker", "server.admin"):
        assert found[what] == "ok", what


def test_settings_that_cannot_be_used_are_told_each(tmp_path: Path) -> None:
    """Nothing else can be looked at: 2, and every problem on stderr."""
    config = tmp_path / "svm.toml"
    config.write_text("[limits]\nmax_guests = 0\nsessions = 0\n")
    ran = svm("doctor", "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("svm: ") == 2
    assert svm("doctor", "--config", tmp_path / "none.toml").code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_who_may_not_look_is_told_who_may(tmp_path: Path) -> None:
    """2, and one line; also below a directory that is closed to him."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os._exit(svm("doctor", environ={"KVMLA_STATE_DIR": str(state)}).code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
