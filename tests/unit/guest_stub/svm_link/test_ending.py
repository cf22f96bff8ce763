"""How a call ended, where a write met the end."""

from pathlib import Path

import grpc
import pytest
from grpc import aio
from lightagent.v1.guest_pb2 import AttachRequest
from lightagent.v1.guest_pb2_grpc import ProtectionStub

from guest_stub.svm_link.ending import WRITE_FAILED, Ending
from tests.support.guest_side_server import Behaviour, serving
from tests.support.met_ends import write_meets_end


async def raised_by_a_write(path: Path, met: bool) -> tuple[Ending, aio.AioRpcError]:
    """What a call raises that an SVM ended: it knows no ticket."""
    async with serving(path, Behaviour()) as server, aio.insecure_channel(server.target) as channel:
        call = ProtectionStub(channel).Attach(None)
        ending = Ending(call)
        if met:
            write_meets_end(call)
        with pytest.raises(aio.AioRpcError) as raised:
            await (call.write(AttachRequest()) if met else call.read())
        return ending, raised.value


async def test_what_a_write_has_written_over_is_known(tmp_path: Path) -> None:
    """The call says of itself only that the write failed; the SVM has said why."""
    ending, error = await raised_by_a_write(tmp_path / "svm.sock", met=True)
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, WRITE_FAILED)
    told = ending.of(error)
    assert (told.code(), told.details()) == (grpc.StatusCode.UNAUTHENTICATED, "no ticket")
    assert ending.status(error.code(), WRITE_FAILED) == (grpc.StatusCode.UNAUTHENTICATED, "no ticket")


async def test_what_a_call_says_of_its_end_counts(tmp_path: Path) -> None:
    """Where nothing was written over, and where nothing else is known."""
    ending, error = await raised_by_a_write(tmp_path / "svm.sock", met=False)
    told = ending.of(error)
    assert (told.code(), told.details()) == (grpc.StatusCode.UNAUTHENTICATED, "no ticket")
    assert ending.status(grpc.StatusCode.ABORTED, "other") == (grpc.StatusCode.ABORTED, "other")


class Never:
    """A call that does not end."""

    def add_done_callback(self, _callback: object) -> None:
        """Nothing to tell it."""


def test_a_write_that_failed_for_another_reason_stays_that() -> None:
    """The SVM has said nothing."""
    status = grpc.StatusCode.INTERNAL, WRITE_FAILED
    assert Ending(Never()).status(*status) == status
