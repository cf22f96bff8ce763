"""What is read from a fanotify group, by a real read of a descriptor."""

import os
from contextlib import closing
from struct import Struct

from hypothesis import given
from hypothesis import strategies as st

from guest_stub.on_access.fanotify import EVENTS, OPEN_PERM, Event, Group
from tests.fuzz.mutation import mutated
from tests.support.properties import fuzzing

METADATA = Struct("=IBBHQii")  # struct fanotify_event_metadata
MOST_BYTES = EVENTS * METADATA.size


def written(mask: int, fd: int, pid: int, more: bytes = b"") -> bytes:
    """An event as the kernel writes it."""
    return METADATA.pack(METADATA.size + len(more), 3, 0, METADATA.size, mask, fd, pid) + more


class OfAPipe(Group):
    """A group whose events come from us."""

    def __init__(self, data: bytes) -> None:
        self.asks = True
        self._fd, end = os.pipe()
        os.set_blocking(self._fd, False)
        with closing(os.fdopen(end, "wb")) as file:
            file.write(data)


EVENT = st.builds(
    written,
    st.sampled_from([OPEN_PERM, 0, (1 << 64) - 1]),
    st.integers(-1, 1 << 20),
    st.integers(-1, 1 << 22),
    st.binary(max_size=30),
)


@fuzzing
@given(mutated(st.lists(EVENT, min_size=1, max_size=12).map(b"".join)))
def test_a_buffer_is_events_or_refused(data: bytes) -> None:
    """ValueError and nothing else; never more events than there is room for."""
    with closing(OfAPipe(data)) as group:
        assert 0 <= group.waiting() <= EVENTS
        try:
            events = group.read()
        except ValueError:
            return
        assert len(events) <= len(data) // METADATA.size
        assert all(isinstance(event, Event) and -(1 << 31) <= event.fd < 1 << 31 for event in events)


@fuzzing
@given(st.integers(0, 3), EVENT)
def test_a_full_buffer_is_taken_apart(odd: int, event: bytes) -> None:
    """As much as is read at once, and what is cut off at its end is refused."""
    data = written(OPEN_PERM, 5, 7) * EVENTS + event[:odd]
    with closing(OfAPipe(data)) as group:
        assert group.read() == [Event(OPEN_PERM, 5, 7)] * EVENTS
