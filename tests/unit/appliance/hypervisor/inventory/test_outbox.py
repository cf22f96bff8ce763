"""Events that wait for the SVM."""

from pathlib import Path
from unittest.mock import patch

from appliance.hypervisor.inventory import outbox as outbox_module
from appliance.hypervisor.inventory.outbox import ForSvm, Outbox


def event(number: int, text: str = "why") -> ForSvm:
    """One of a time."""
    return ForSvm("test:///default", f"u-{number}", "vm-isolated", text, float(number))


def test_events_wait_by_their_order_until_they_are_taken(tmp_path: Path) -> None:
    """Over a restart; what is put in twice is one."""
    outbox = Outbox(tmp_path)
    assert outbox.all() == []
    for number in (2, 1, 2):
        outbox.put(f"id-{number}", event(number))
    assert Outbox(tmp_path).all() == [("id-1", event(1)), ("id-2", event(2))]
    outbox.remove("id-1")
    outbox.remove("id-1")
    assert Outbox(tmp_path).all() == [("id-2", event(2))]


def test_what_is_not_an_event_is_passed_over(tmp_path: Path) -> None:
    """It holds up nothing."""
    outbox = Outbox(tmp_path)
    outbox.put("id", event(1))
    for name, text in (("a", "["), ("b", "{}"), ("c", "x" * 20_000), ("d", "[]")):
        (tmp_path / "outbox" / f"{name}.json").write_text(text)
    assert outbox.all() == [("id", event(1))]


def test_there_is_a_bound(tmp_path: Path) -> None:
    """Of how many wait, where the oldest go, and of a text."""
    outbox = Outbox(tmp_path)
    with patch.object(outbox_module, "MOST", 2):
        for number in range(4):
            outbox.put(f"id-{number}", event(number, "é" * 300))
    assert [each.at for _, each in outbox.all()] == [2.0, 3.0]
    assert outbox.all()[0][1].text == "é" * 256
