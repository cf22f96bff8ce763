"""Whether a volume on which nothing is recognised is empty from end to end: file systems begin anywhere."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, Final

from appliance.disk_reader.bounds import Patience, why
from appliance.disk_reader.files import next_data
from appliance.disk_reader.volume import Volume

_READ: Final = 1 << 20
_ZEROS: Final = bytes(_READ)
_VOLUME_SECONDS: Final = 15.0  # less than a step may take
_ALL_SECONDS: Final = 60.0  # less than `svm-host` waits for an answer
_MIB: Final = 1 << 20


class Blanks:
    """Looks through volumes, within a time for all of them."""

    def __init__(self, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic seconds."""
        self._patience = patience
        self._clock = clock
        self._end = clock() + _ALL_SECONDS

    def settled(self, volume: Volume) -> Volume:
        """The volume, with what is to be said of it where nothing is recognised on it."""
        if volume.kind or volume.stream is None:
            return volume
        try:
            with self._patience.for_step():
                note = self._looked_through(volume, volume.stream)
        except Exception as error:  # whatever a parser raises that meets hostile bytes
            note = f"{volume.note}, and it cannot be read to its end ({why(error)})"
        return replace(volume, stream=None, note=note or "it is empty", harmless=not note)

    def _looked_through(self, volume: Volume, stream: BinaryIO) -> str:
        """Why it is not known to be empty, "" where it is."""
        at, end = 0, min(self._end, self._clock() + _VOLUME_SECONDS)
        while (at := next_data(stream, at)) < volume.size:
            if self._clock() >= end:
                return (
                    f"its first {at // _MIB} MiB are zeros; the rest is not looked at, as it takes too long"
                )
            stream.seek(at)
            data = stream.read(min(_READ, volume.size - at))
            if not data:
                return f"{volume.note}, and it ends too early"
            if data != _ZEROS[: len(data)]:
                return volume.note
            at += len(data)
        return ""
