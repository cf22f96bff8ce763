"""Tests of the kernel's interface: what it says taken apart, and the kernel itself where root may."""

import errno
import os
import select
import subprocess
from contextlib import closing
from pathlib import Path
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.on_access import fanotify
from guest_stub.on_access.fanotify import (
    CLOSE_WRITE,
    OPEN,
    OPEN_EXEC_PERM,
    OPEN_PERM,
    PERMISSION,
    Event,
    FanotifyUnavailable,
    Group,
    parse,
)
from tests.support.on_access_apart import SECONDS, opened, opening, run_apart, watching
from tests.support.properties import patient

EVENT = Struct("=IBBHQii")  # struct fanotify_event_metadata
VERSION = 3

events = st.builds(
    Event,
    mask=st.integers(0, 2**64 - 1),
    fd=st.integers(-1, 2**31 - 1),
    pid=st.integers(-(2**31), 2**31 - 1),
)


def written(event: Event, more: bytes = b"", version: int = VERSION) -> bytes:
    """An event as the kernel writes it. more: records that newer kernels put behind it."""
    return EVENT.pack(EVENT.size + len(more), version, 0, EVENT.size, *event) + more


@patient
@given(st.lists(st.tuples(events, st.binary(max_size=40))))
def test_events_come_back_as_they_were(said: list[tuple[Event, bytes]]) -> None:
    """In order, whatever a newer kernel says behind each of them."""
    data = b"".join(written(event, more) for event, more in said)
    assert parse(data) == [event for event, _ in said]


@patient
@given(st.binary(max_size=200))
def test_bytes_of_no_sense_are_refused(data: bytes) -> None:
    """With ValueError and nothing else, and never without an end."""
    try:
        found = parse(data)
    except ValueError:
        return
    assert len(found) * EVENT.size <= len(data)


@patient
@given(st.lists(events, min_size=1, max_size=5), st.data())
def test_a_sequence_that_is_cut_off_is_refused(said: list[Event], data: st.DataObject) -> None:
    """Events are whole, or the kernel does not say what we think it says."""
    whole = b"".join(map(written, said))
    length = data.draw(st.integers(1, len(whole) - 1).filter(lambda cut: cut % EVENT.size))
    with pytest.raises(ValueError, match="event"):
        parse(whole[:length])


@pytest.mark.parametrize("length", [0, 1, 23, 25, 2**32 - 1])
def test_a_length_that_cannot_be_is_refused(length: int) -> None:
    """One of zero would have the stub read the same event for ever."""
    data = EVENT.pack(length, VERSION, 0, EVENT.size, 0, 0, 0)
    with pytest.raises(ValueError, match=f"says that it is {length} bytes long"):
        parse(data)


def test_another_version_is_refused() -> None:
    """The message names both."""
    with pytest.raises(ValueError, match="version 4, this stub knows 3"):
        parse(written(Event(0, 0, 0), version=4))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EPERM, "by root only"),
        (errno.ENOSYS, "CONFIG_FANOTIFY_ACCESS_PERMISSIONS"),
        (errno.EINVAL, "Linux 5.1"),
        (errno.EMFILE, "fs.fanotify.max_user_groups"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_without_fanotify_one_reads_what_to_do(
    monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    """A sentence for each reason that the kernel gives."""

    def refuses(_flags: int, _event_flags: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fanotify, "_init", refuses)
    with pytest.raises(FanotifyUnavailable, match=sentence):
        Group(asks=True)


@watching
def test_a_group_with_nothing_to_tell_gives_no_events() -> None:
    """Reading never waits; closing twice is once."""
    for asks in (True, False):
        group = Group(asks=asks)
        assert group.fileno() >= 0
        assert group.read() == []
        group.close()
        group.close()
        assert group.fileno() == -1


@watching
def test_what_is_marked_after_the_end_fails(tmp_path: Path) -> None:
    """With an OSError, as every refusal of the kernel does."""
    group = Group(asks=True)
    group.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        group.watch_all_again()
    with pytest.raises(OSError, match="Bad file descriptor"):
        group.answer(Event(OPEN_PERM, 0, 1), True)
    with pytest.raises(OSError, match="No such file"), closing(Group(asks=True)) as other:
        other.watch_file_system(str(tmp_path / "none"), OPEN_PERM)


@watching
@pytest.mark.parametrize(
    "name",
    [
        "an_open_gets_the_answer_that_is_given",
        "the_start_of_a_program_is_told_apart",
        "a_file_that_is_passed_over_raises_nothing_until_it_changes",
        "what_was_passed_over_is_watched_again",
        "closing_lets_everybody_go_on",
        "writers_are_told_of_afterwards",
        "a_mount_is_watched_and_another_of_the_same_files_is_not",
    ],
)
def test_the_kernel_does_as_its_interface_says(tmp_path: Path, name: str) -> None:
    """What is asserted by the function of this name, on a file system of its own."""
    run_apart(globals()[name], tmp_path / "top")


def one(group: Group) -> Event:
    """The next event."""
    readable, _, _ = select.select([group.fileno()], [], [], SECONDS)
    assert readable, "nothing was said"
    [event] = group.read()
    return event


def answered(group: Group, process: "subprocess.Popen[str]", allow: bool) -> tuple[int, str]:
    """Answer the next event, of a process that waits for it; code and error of the process."""
    event = one(group)
    assert process.poll() is None
    group.answer(event, allow)
    os.close(event.fd)
    _, said = process.communicate(timeout=SECONDS)
    return process.returncode, said


def an_open_gets_the_answer_that_is_given(top: Path) -> None:
    """Allowed, or EPERM; the event tells who and what."""
    (top / "file").write_text("hello")
    with closing(Group(asks=True)) as group:
        group.watch_file_system(str(top), OPEN_PERM)
        process = opening(top / "file")
        event = one(group)
        assert (event.mask, event.pid) == (OPEN_PERM, process.pid)
        assert os.read(event.fd, 10) == b"hello"
        assert os.readlink(f"/proc/self/fd/{event.fd}") == str(top / "file")
        assert not os.get_inheritable(event.fd)
        group.answer(event, True)
        os.close(event.fd)
        assert process.communicate(timeout=SECONDS) == ("hello", "")
        code, said = answered(group, opening(top / "file"), False)
        assert code == 1
        assert "Operation not permitted" in said


def the_start_of_a_program_is_told_apart(top: Path) -> None:
    """OPEN_EXEC_PERM comes for it, and not for a plain open."""
    program = top / "program"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with closing(Group(asks=True)) as group:
        group.watch_file_system(str(top), OPEN_EXEC_PERM)
        assert opened(program)
        started = subprocess.Popen(
            ["sh", "-c", f"exec {program}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert answered(group, started, True)[0] == 3


def a_file_that_is_passed_over_raises_nothing_until_it_changes(top: Path) -> None:
    """The mark goes with the first write, and others' files are asked about all the while."""
    for name in ("file", "other"):
        (top / name).write_text("hello")
    fd = os.open(top / "file", os.O_RDONLY)
    with closing(Group(asks=True)) as group:
        group.watch_file_system(str(top), OPEN_PERM)
        group.pass_over(fd, PERMISSION)
        assert opened(top / "file")
        assert group.read() == []
        assert answered(group, opening(top / "other"), True)[0] == 0
        writing = os.open(top / "file", os.O_WRONLY)  # not asked about: it is passed over
        os.write(writing, b"x")
        os.close(writing)
        assert answered(group, opening(top / "file"), False)[0] == 1


def what_was_passed_over_is_watched_again(top: Path) -> None:
    """One file or all; what was not passed over can be watched again too."""
    (top / "file").write_text("hello")
    fd = os.open(top / "file", os.O_RDONLY)
    with closing(Group(asks=True)) as group:
        group.watch_file_system(str(top), OPEN_PERM)
        group.watch_again(fd, PERMISSION)
        group.pass_over(fd, PERMISSION)
        group.watch_again(fd, PERMISSION)
        assert answered(group, opening(top / "file"), True)[0] == 0
        group.pass_over(fd, PERMISSION)
        assert opened(top / "file")
        group.watch_all_again()
        assert answered(group, opening(top / "file"), True)[0] == 0


def closing_lets_everybody_go_on(top: Path) -> None:
    """Also who waits already."""
    (top / "file").write_text("hello")
    group = Group(asks=True)
    group.watch_file_system(str(top), OPEN_PERM)
    process = opening(top / "file")
    event = one(group)
    group.close()
    assert process.communicate(timeout=SECONDS) == ("hello", "")
    os.close(event.fd)


def writers_are_told_of_afterwards(top: Path) -> None:
    """Nobody waits for it; who only reads is not told of."""
    with closing(Group(asks=False)) as group:
        group.watch_file_system(str(top), CLOSE_WRITE)
        subprocess.run(["sh", "-c", f"echo hello > {top}/file"], check=True)
        event = one(group)
        assert event.mask & CLOSE_WRITE
        assert os.read(event.fd, 10) == b"hello\n"
        assert opened(top / "file")
        assert group.read() == []
        os.close(event.fd)
        group.watch_file_system(str(top), OPEN)
        assert opened(top / "file")
        os.close(one(group).fd)


def a_mount_is_watched_and_another_of_the_same_files_is_not(top: Path) -> None:
    """watch_mount() is for what is opened by way of one mount point."""
    for name in ("files", "here", "there"):
        (top / name).mkdir()
    (top / "files" / "file").write_text("hello")
    for name in ("here", "there"):
        subprocess.run(["mount", "--bind", str(top / "files"), str(top / name)], check=True)
    with closing(Group(asks=True)) as group:
        group.watch_mount(str(top / "here"), OPEN_PERM)
        assert opened(top / "there" / "file")
        assert group.read() == []
        assert answered(group, opening(top / "here" / "file"), False)[0] == 1
