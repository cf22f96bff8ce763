"""What is kept of machines that are cut off."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.isolation.records import RELEASING, Record, Records
from tests.support.machines import WEB

RECORD = Record(WEB, "test:///default", "web", 1000.5, "why", "me", links={"live": {"52:54": "up"}})


def test_a_record_is_there_until_it_is_removed(tmp_path: Path) -> None:
    """As it was put last, for every process."""
    records = Records(tmp_path)
    assert (records.get(WEB), records.uuids()) == (None, frozenset())
    records.put(RECORD)
    records.put(replace(RECORD, phase=RELEASING, told=True))
    assert Records(tmp_path).get(WEB) == replace(RECORD, phase=RELEASING, told=True)
    assert Records(tmp_path).uuids() == frozenset({WEB})
    assert RECORD.id == f"{WEB}-1000500"
    records.remove(WEB)
    assert records.get(WEB) is None


def test_a_stamp_is_another_one_when_something_changes(tmp_path: Path) -> None:
    """A record that came, was put anew, or went."""
    records = Records(tmp_path)
    stamps = [records.stamp()]
    for record in (RECORD, replace(RECORD, told=True), None):
        if record is None:
            records.remove(WEB)
        else:
            records.put(record)
        stamps.append(records.stamp())
        assert records.stamp() == stamps[-1]
    assert stamps[0] == stamps[3]
    assert len(set(stamps)) == 3


def test_cut_off_is_what_has_no_link_left(tmp_path: Path) -> None:
    """Not what is only to be cut off, nor what is cut off in part, nor what nobody can read."""
    records = Records(tmp_path)
    for record, is_cut_off in (
        (replace(RECORD, told=True), True),
        (RECORD, False),
        (replace(RECORD, told=True, up=["52:54"]), False),
    ):
        records.put(record)
        assert records.cut_off() == ({WEB} if is_cut_off else frozenset())
    (tmp_path / "isolated" / f"{WEB}.json").write_text("{")
    assert records.cut_off() == frozenset()


@pytest.mark.parametrize("text", ["[]", "{}", '{"phase": "odd"}', "{"])
def test_what_was_not_written_so_is_a_sentence(tmp_path: Path, text: str) -> None:
    """A machine whose links nobody knows is not to be forgotten in silence."""
    Records(tmp_path).put(RECORD)
    (tmp_path / "isolated" / f"{WEB}.json").write_text(text)
    with pytest.raises(StateUnusable, match="set the links by hand, and remove it"):
        Records(tmp_path).get(WEB)


def test_one_at_a_time_changes_something(tmp_path: Path) -> None:
    """A second one waits for the first."""
    records, order = Records(tmp_path), list[str]()

    def second() -> None:
        with Records(tmp_path).changing():
            order.append("second")

    with records.changing():
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.1)
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match="may write there"), Records(tmp_path / "file").changing():
        pass
