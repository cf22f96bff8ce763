"""A Private KSN as a user runs it: `private-ksn import` and `serve`; and what an SVM is told of it."""

import json
import socket
from collections.abc import Iterable
from pathlib import Path

from appliance.private_ksn.keys import new_key
from tests.benchmarks.processes import Service, python, run

NO_BOUND = 1_000_000  # requests of one key in a second


class PrivateKsn:
    """A Private KSN on a free port of this machine, its files under one directory."""

    def __init__(self, directory: Path) -> None:
        """directory: is made."""
        directory.mkdir()
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/api/v1/"
        self.key, line = new_key("bench")
        self.key_file = directory / "api-key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(self.key)
        (directory / "keys").write_text(f"{line}\n")
        self._config = directory / "private-ksn.toml"
        self._log = directory / "private-ksn.log"
        self._config.write_text(
            f'[server]\nlisten = "127.0.0.1:{self.port}"\n'
            f'data_dir = "{directory}/data"\nkeys_file = "{directory}/keys"\n'
            f"[limits]\nrequests_per_second = {NO_BOUND}\n"
        )

    def take_in(self, feed: Path) -> float:
        """Import a plain list of bad digests; seconds of the whole command."""
        fixed = ("-m", "appliance.private_ksn", "import", "plain", str(feed), "--zone", "red")
        return run(python(*fixed, "--config", str(self._config))).seconds

    def serve(self) -> Service:
        """Start the service; it is to be stopped by its caller."""
        argv = python("-m", "appliance.private_ksn", "serve", "--config", str(self._config))
        service = Service(argv, self._log)
        service.wait_ready(lambda: listens(self.port))
        return service


def settings(base_url: str, key_file: Path | None = None, **more: object) -> str:
    """Return the tables by which an SVM asks a Private KSN without a quota. more: of [ksn]."""
    chosen: dict[str, object] = {
        "enabled": True,
        "type": "private",
        "endpoint": base_url,
        "per_minute": 0,
        "per_day": 0,
        **({} if key_file is None else {"api_key_file": str(key_file)}),
        **more,
    }
    return "[ksn]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in chosen.items())


def write_feed(path: Path, digests: Iterable[bytes]) -> None:
    """Write a plain list of digests."""
    with path.open("w") as file:
        file.writelines(f"{digest.hex()}\n" for digest in digests)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False
