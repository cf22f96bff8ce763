"""What the SVM says of the Kaspersky Security Network: one question, for which nobody needs to attach."""

import asyncio

import grpc
from lightagent.v1.guest_pb2 import KsnInfoReply, KsnInfoRequest

from guest_stub.svm_link.link import connect, unreachable
from guest_stub.svm_link.target import Target
from guest_stub.svm_link.values import KsnUse
from guest_stub.svm_link.wire import ksn_use

_SENTENCES = {
    grpc.StatusCode.UNIMPLEMENTED: "this SVM is older than this guest-stub and says nothing of KSN: "
    "ask whoever runs it",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "this guest has just asked too often: ask again in a moment",
}


async def ask_ksn(target: Target, seconds: float) -> KsnUse:
    """Ask how KSN is used for this guest, all within `seconds`.

    Raises SvmUnreachable where no answer comes.
    """
    with unreachable(target, seconds, _SENTENCES):
        async with asyncio.timeout(seconds):
            connection = await connect(target)
            try:
                said = await connection.unary("KsnInfo")(
                    KsnInfoRequest().SerializeToString(), metadata=connection.metadata
                )
                return ksn_use(KsnInfoReply.FromString(said).participation)
            finally:
                await connection.close()
