"""Tests of appliance/scans/pressure.py."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.scans.pressure import Pressure, PressureReader


def tell(proc: Path, name: str, some: float) -> None:
    """Write a file as the kernel has it."""
    (proc / "pressure").mkdir(exist_ok=True)
    (proc / "pressure" / name).write_text(
        f"some avg10={some:.2f} avg60=99.00 avg300=0.00 total=1\n"
        "full avg10=88.00 avg60=0.00 avg300=0.00 total=1\n"
    )


def test_what_the_kernel_says_is_read(tmp_path: Path) -> None:
    """Of pressure the last ten seconds, in which something waited."""
    for name, some in (("cpu", 12.5), ("io", 100), ("memory", 0)):
        tell(tmp_path, name, some)
    (tmp_path / "stat").write_text("cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    reader = PressureReader(tmp_path)
    assert reader.read() == Pressure(12.5, 100.0, 0.0, 0.0)
    assert not reader.missing


def test_steal_is_counted_between_readings(tmp_path: Path) -> None:
    """In percent of all time of all processors; a counter that went back says nothing."""
    reader = PressureReader(tmp_path)
    steals = []
    for line in ("10 0 0 90 0 0 0 0", "10 0 0 165 0 0 0 25", "10 0 0 265 0 0 0 25", "1 0 0 1 0 0 0 1"):
        (tmp_path / "stat").write_text(f"cpu  {line} 77 77\n")
        steals.append(reader.read().steal)
    assert steals == [0.0, 25.0, 0.0, 0.0]


def test_what_the_kernel_does_not_say_is_none_and_named(tmp_path: Path) -> None:
    """One without PSI presses nothing; it is known what is missing, and when it is there."""
    reader = PressureReader(tmp_path)
    assert reader.read() == Pressure()
    assert reader.missing == {"pressure/cpu", "pressure/io", "pressure/memory", "stat"}
    tell(tmp_path, "io", 50)
    assert reader.read().io == 50
    assert "pressure/io" not in reader.missing


def test_this_kernel_is_understood() -> None:
    """At least its times; its pressure where it tells of any."""
    reader = PressureReader()
    read = reader.read()
    assert "stat" not in reader.missing
    assert all(0 <= value <= 100 for value in (read.cpu, read.io, read.memory, read.steal))


def test_the_nearest_limit_counts() -> None:
    """A limit of 0 is none."""
    pressure = Pressure(cpu=30, io=20, memory=9, steal=90)
    assert pressure.level(Pressure(cpu=60, io=20, memory=90)) == 1.0
    assert pressure.level(Pressure()) == 0.0


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_other_words_say_nothing(tmp_path_factory: object, psi: bytes, stat: bytes) -> None:
    """Whatever stands there, a number between 0 and 100 is read."""
    proc = Path(tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    (proc / "pressure").mkdir(exist_ok=True)
    (proc / "pressure" / "cpu").write_bytes(b"some avg10=" + psi)
    (proc / "stat").write_bytes(b"cpu " + stat)
    reader = PressureReader(proc)
    for _ in range(2):
        read = reader.read()
        assert 0 <= read.cpu <= 100
        assert 0 <= read.steal <= 100
