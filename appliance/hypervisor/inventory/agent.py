"""Who this host agent is: what it draws once and keeps in its state directory, of which one process serves.

    agent.json  {instance: 32 hexadecimal digits, hosts: {URI: UUID}}
    serve.lock  locked by whoever serves

libvirt draws a UUID for a host whose firmware has none each time that it starts: the first that was seen of
an address counts, so that the SVM takes the host for the same one.
"""

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.domain.vm import INSTANCE_BYTES
from appliance.hypervisor.files import StateUnusable, read_bounded, write_durably
from appliance.identity.names import is_uuid

_MOST_BYTES = 1 << 20


class Agent:
    """instance: 16 bytes that are this agent's alone."""

    def __init__(self, directory: Path) -> None:
        """directory: its state, which is made. Raises StateUnusable."""
        self._path = directory / "agent.json"
        self._changing = threading.Lock()
        self._hosts: dict[str, str] = {}
        text = read_bounded(self._path, _MOST_BYTES)
        if text is None:
            self.instance = secrets.token_bytes(INSTANCE_BYTES)
            self._write()
            return
        try:
            fields = json.loads(text)
            self.instance = bytes.fromhex(fields["instance"])
            self._hosts = {str(uri): str(uuid) for uri, uuid in fields["hosts"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateUnusable(
                f"{self._path} is not what was written ({error!r}): remove it, and another is drawn"
            ) from error

    def host(self, uri: str, uuid: str) -> str:
        """The UUID of a host that counts. uuid: what libvirt says now. Raises StateUnusable."""
        with self._changing:
            if uri not in self._hosts:
                self._hosts[uri] = uuid if is_uuid(uuid) else _drawn()
                self._write()
            return self._hosts[uri]

    def _write(self) -> None:
        fields = {"instance": self.instance.hex(), "hosts": self._hosts}
        write_durably(self._path, json.dumps(fields, indent=1))


@contextmanager
def serving_alone(directory: Path) -> Iterator[None]:
    """Be the one process that serves from a state directory. Raises StateUnusable for a second one."""
    path = directory / "serve.lock"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateUnusable(f"{path}: {error.strerror}; see that svm-host may write state_dir") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StateUnusable(
            f"another svm-host serves from {directory}: stop it, or set another state_dir"
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def _drawn() -> str:
    digits = secrets.token_hex(16)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
