"""What systemd is told of `svm-host serve`: that it is ready, that it lives, that it ends; sd_notify(3)."""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Service:
    """The daemon as systemd sees it; of no effect where systemd did not start it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """environ: of the process."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = int(usec) / 1e6 if ours and usec.isdigit() else 0.0

    def ready(self) -> None:
        """It has begun its work."""
        self._say("READY=1")

    def stopping(self) -> None:
        """It ends."""
        self._say("STOPPING=1")

    async def live(self) -> None:
        """Say that it lives, three times in the time that it has; returns where nobody wants to know."""
        while self.watchdog_seconds:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 3)

    def _say(self, text: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifying:
            notifying.setblocking(False)
            with suppress(OSError):  # systemd is busy, or restarts: the next word will do
                notifying.sendto(text.encode(), address)
