"""The way to the SVM for the parts of `svm-host serve`, which run on one loop: calls go through threads."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from appliance.hypervisor.settings import SvmSettings
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.admin_line import CertificateLine

T = TypeVar("T")

_NO_SERVER = "svm.server of the settings names no SVM: give its administrators' door as HOST:PORT"


class SvmLine:
    """A connection that is opened when it is needed first, and kept. Raises AdminError where it fails."""

    def __init__(self, settings: SvmSettings) -> None:
        """settings: where the SVM is, and who this host agent is."""
        self._settings = settings
        self._stack = ExitStack()
        self._client: AdminClient | None = None

    async def ask(self, call: Callable[[AdminClient], T]) -> T:
        """Return what a call gives, which runs in a thread: `await svm.ask(lambda svm: svm.status())`."""
        return await asyncio.to_thread(call, self.client())

    def client(self) -> AdminClient:
        """The connection. Raises AdminError where the certificate cannot be read."""
        if self._client is None:
            if not self._settings.server:
                raise AdminError(_NO_SERVER)
            line = CertificateLine(self._settings.server, self._settings.identity)
            self._client = self._stack.enter_context(AdminClient(line))
        return self._client

    def close(self) -> None:
        """End it, and every call that is under way."""
        self._client = None
        self._stack.close()
