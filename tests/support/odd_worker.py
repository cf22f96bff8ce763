"""A worker that does to the front what a content tells it to: run in the place of the real program.

Its first argument is how it starts: "well", "dies", "refuses", "silent", "rude" or "lies". Afterwards a
content that begins with one of these words is answered accordingly: "die", "hang", "lie", "forge", "flood",
"shut", "hold" (until the file that follows the word exists), "doom" (the same, then death), "evil" (found).
Any other is harmless.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from appliance.domain.content import ContentLabel
from appliance.domain.verdict import Detection
from appliance.scanning.worker import _receive
from appliance.scanning.worker_wire import (
    HELLO,
    MAX_JOBS,
    JobAnswer,
    Refused,
    Started,
    decode_jobs,
    encode_answer,
    encode_first,
)

PATIENCE_SECONDS = 60.0


def start(front: socket.socket, how: str) -> None:
    """Answer the order, or not."""
    if how == "dies":
        sys.exit("this worker dies of itself")
    if how == "silent":
        signal.pause()
    if how == "lies":
        front.send(b"\xff\xff\xff")
    front.send(encode_first(Refused("it does not feel like it") if how == "refuses" else Started(True)))


def act(front: socket.socket, number: int, content: bytes) -> bytes:
    """Return what to answer on a content, if it comes to that."""
    word, _, rest = content.partition(b" ")
    if word == b"doom":
        wait_for(Path(os.fsdecode(rest)))
    if word in (b"die", b"doom"):
        print("this content is deadly", file=sys.stderr, flush=True)
        os._exit(3)
    if word == b"hang":
        signal.pause()
    if word == b"shut":
        front.close()
        signal.pause()
    if word == b"hold":
        wait_for(Path(os.fsdecode(rest)))
    if word == b"flood":
        for _ in range(50_000):
            front.send(encode_answer(JobAnswer(number)))
    if word == b"lie":
        return b"\xff" * 50
    if word == b"forge":
        return encode_answer(JobAnswer(number + 1))
    return encode_answer(JobAnswer(number, (Detection("Evil", "odd"),) if word == b"evil" else ()))


def wait_for(path: Path) -> None:
    """Return when the file exists."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.005)


def look(fd: int, label: ContentLabel) -> bytes:
    """Read and close a content."""
    content = os.pread(fd, label.size, 0)
    os.close(fd)
    return content


def main() -> None:
    """Be a worker on descriptor 0."""
    front = socket.socket(fileno=0)
    front.send(b"oops!" if sys.argv[1] == "rude" else HELLO)
    _, bundle = _receive(front, 1 << 16)
    if bundle:
        start(front, sys.argv[1])
    while True:
        message, descriptors = _receive(front, 1 << 16, MAX_JOBS)
        if not message or not descriptors:
            return
        # Answers to a whole message at once, as a real worker gives them when it is quick.
        jobs = zip(decode_jobs(message), descriptors, strict=True)
        front.send(b"".join([act(front, number, look(fd, label)) for (number, label), fd in jobs]))


if __name__ == "__main__":
    main()
