"""What the SVM says of the Kaspersky Security Network: one question, for which nobody needs to attach."""

import asyncio

import grpc
from google.protobuf.message import DecodeError
from grpc import aio
from lightagent.v1.guest_pb2 import DESCRIPTOR, KsnInfoReply, KsnInfoRequest

from guest_stub.svm_link.link import SvmUnreachable, connect
from guest_stub.svm_link.ticket import NoTicket
from guest_stub.svm_link.values import KsnUse
from guest_stub.svm_link.wire import ksn_use

KSN_METHOD = f"/{DESCRIPTOR.services_by_name['Protection'].full_name}/KsnInfo"

_SENTENCES = {
    grpc.StatusCode.UNIMPLEMENTED: "this SVM is older than this guest-stub and says nothing of KSN: "
    "ask whoever runs it",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "this guest has just asked too often: ask again in a moment",
}


async def ask_ksn(target: str, seconds: float) -> KsnUse:
    """Ask how KSN is used for this guest, all within `seconds`.

    target: "unix:/path/of/socket" or "tcp:host:port". Raises SvmUnreachable where no answer comes.
    """
    try:
        async with asyncio.timeout(seconds):
            connection = await connect(target)
            try:
                # The generated call would log what it cannot read, traceback and all.
                ask = connection.channel.unary_unary(
                    KSN_METHOD, request_serializer=None, response_deserializer=None
                )
                said = await ask(KsnInfoRequest().SerializeToString(), metadata=connection.metadata)
                return ksn_use(KsnInfoReply.FromString(said).participation)
            finally:
                await connection.close()
    except TimeoutError as error:
        raise SvmUnreachable(f"{target}: no SVM has answered within {seconds:g} s: is it running?") from error
    except NoTicket as error:
        raise SvmUnreachable(f"{target}: {error}") from error
    except DecodeError as error:
        raise SvmUnreachable(
            f"{target}: what answers is not an SVM that this guest-stub understands"
        ) from error
    except aio.AioRpcError as error:
        why = f"the SVM does not say: {error.code().name}: {error.details() or 'no reason given'}"
        raise SvmUnreachable(f"{target}: {_SENTENCES.get(error.code(), why)}") from error
