"""A real SVM whose enrolment door one address floods, while others come; run by in_network_apart.

Its arguments: a directory, and "filtered" where the packet filter has its rules. Prints as JSON how many of
the newcomers got in, how often the door was full, and what the filter dropped.
"""

import asyncio
import json
import multiprocessing
import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from appliance.packet_filter.nft import loaded
from tests.support.commands import svm_program
from tests.support.svm_process import svm_process
from tests.support.tls_svm import enrol, initialised

NEWCOMERS = 20
FLOODER = "127.0.0.66"
HELD = 3000  # connections that the flooder keeps; it closes the oldest to open others
DEADLINE = 60.0
# What opens HTTP/2: the client's preface and empty settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def main(directory: Path, filtered: bool) -> dict[str, Any]:
    """Do it."""
    doors = initialised(directory)
    config, admin = directory / "svm.toml", directory / "admin.sock"
    with svm_process(directory, listen=doors.listen, doors=doors.others):
        if filtered:
            ran = svm_program("packet-filter", "--apply", "--config", config)
            assert ran.code == 0, ran.err
        with _flood(doors.enrolment):
            _until((lambda: _dropped() > 0) if filtered else (lambda: _full(admin) > 0))
            came = sum(_comes_in(f"127.0.1.{number}", doors.enrolment) for number in range(NEWCOMERS))
            if filtered:
                asyncio.run(enrol(doors, directory / "guest"))
            full = _full(admin)
        doctor = svm_program("doctor", "--config", config).out
    said = [line for line in doctor.splitlines() if "packet filter" in line]
    return {"in": came, "full": full, "dropped": _dropped() if filtered else 0, "doctor": said}


def _comes_in(address: str, port: int) -> bool:
    """Whether the door answers somebody who tries once."""
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    terms.check_hostname, terms.verify_mode = False, ssl.CERT_NONE
    terms.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE, (address, 0)) as plain,
            terms.wrap_socket(plain) as line,
        ):
            line.sendall(_PREFACE)
            return bool(line.recv(100))
    except OSError:
        return False


def _full(admin: Path) -> int:
    figures = svm_program("status", "--figures", "--json", "--socket", admin).json["figures"]
    return int(figures["guest_over_enrolment_connections"])


def _dropped() -> int:
    found = loaded()
    return 0 if found is None else sum(found.dropped.values())


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < end, "the flood came to nothing"
        time.sleep(0.05)


@contextmanager
def _flood(port: int) -> Iterator[None]:
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=_connect_on_and_on, args=(port, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()


def _connect_on_and_on(port: int, stop: Event) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (HELD + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held: list[socket.socket] = []
    while not stop.is_set():
        one = socket.socket()
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT of linux/in.h
        one.bind((FLOODER, 0))
        try:
            one.connect(("127.0.0.1", port))
        except BlockingIOError:
            pass
        except OSError:  # it has no port left
            one.close()
            continue
        held.append(one)
        if len(held) > HELD:
            held.pop(0).close()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:] == ["filtered"])))
