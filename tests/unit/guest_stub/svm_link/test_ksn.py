"""Tests of asking the SVM about KSN."""

from pathlib import Path

import grpc
import pytest
from grpc import aio
from lightagent.v1 import verdict_pb2

from guest_stub.svm_link.ksn import ask_ksn
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.target import Svm
from guest_stub.svm_link.values import KsnReason, KsnUse
from tests.support.authority import Authority, proof_of
from tests.support.guest_side_server import Behaviour, serving
from tests.support.held_files import until

SERVICE = "lightagent.v1.Protection"


async def test_what_the_svm_says_comes_back(tmp_path: Path) -> None:
    """The answer in plain values, without an Attach; the ticket is given back."""
    ksn = verdict_pb2.KsnParticipation(
        state=verdict_pb2.KSN_STATE_RESTRICTED,
        type=verdict_pb2.KSN_TYPE_PRIVATE,
        mode=verdict_pb2.KSN_MODE_EXTENDED,
        reasons=[verdict_pb2.KSN_REASON_QUOTA_SPENT],
        sentences=["the quota is spent"],
        statement_accepted=1,
        statement_in_force=2,
    )
    async with serving(tmp_path / "svm.sock", Behaviour(ksn=ksn)) as server:
        use = await ask_ksn(server.target, 30.0)
        await until(lambda: server.peers_gone == 1)
        assert server.hellos == []
    reasons = (KsnReason("quota spent", "the quota is spent"),)
    assert use == KsnUse("restricted", "private", "extended", reasons, 1, 2)


async def test_an_svm_without_the_call_is_named_as_older(tmp_path: Path) -> None:
    """An SVM of an earlier version leaves a sentence that says so."""
    behaviour = Behaviour(abort_ksn=(grpc.StatusCode.UNIMPLEMENTED, "Method not found!"))
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        with pytest.raises(SvmUnreachable, match="older than this guest-stub and says nothing of KSN"):
            await ask_ksn(server.target, 30.0)


async def test_too_many_questions_are_to_wait(tmp_path: Path) -> None:
    """The SVM's refusal is told as what to do."""
    behaviour = Behaviour(abort_ksn=(grpc.StatusCode.RESOURCE_EXHAUSTED, "more than 10 times"))
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        with pytest.raises(SvmUnreachable, match="asked too often: ask again in a moment"):
            await ask_ksn(server.target, 30.0)


async def test_another_refusal_is_told_in_the_svms_words(tmp_path: Path) -> None:
    """A ticket that does not count, for one."""
    async with serving(tmp_path / "svm.sock", Behaviour(ticket_line=b"f" * 32 + b"\n")) as server:
        with pytest.raises(SvmUnreachable, match="does not say: UNAUTHENTICATED: no ticket"):
            await ask_ksn(server.target, 30.0)


async def test_an_svm_that_does_not_answer_is_not_waited_for_longer_than_told(tmp_path: Path) -> None:
    """The deadline holds for the answer, and for everything before it."""
    async with serving(tmp_path / "svm.sock", Behaviour(hang_ksn=True)) as server:
        with pytest.raises(SvmUnreachable, match=r"no SVM has answered within 0.5 s"):
            await ask_ksn(server.target, 0.5)


async def test_what_is_no_answer_is_one_sentence(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no message end in a sentence, and nothing is logged beside it."""

    async def answer(request: bytes, context: object) -> bytes:
        return b"\xff" if request == b"" else b""

    server = aio.server()
    handlers = {"KsnInfo": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    authority = Authority()
    own = authority.server()
    pairs = [(own.key_pem, own.pem)]
    credentials = grpc.ssl_server_credentials(pairs, authority.issued.pem, require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{unused_tcp_port}", credentials)
    await server.start()
    svm = Svm(f"tcp:127.0.0.1:{unused_tcp_port}", lambda: proof_of(authority))
    try:
        with pytest.raises(SvmUnreachable, match="not an SVM that this guest-stub understands"):
            await ask_ksn(svm, 30.0)
    finally:
        await server.stop(None)
    assert [record.name for record in caplog.records if record.name != "asyncio"] == []


async def test_no_svm_is_told(tmp_path: Path, unused_tcp_port: int) -> None:
    """No socket, nobody at a port, no certificate, no address: each with its sentence."""
    with pytest.raises(SvmUnreachable, match=r"svm\.sock\.id: No such file or directory: is the SVM running"):
        await ask_ksn(f"unix:{tmp_path}/svm.sock", 30.0)
    target = f"tcp:127.0.0.1:{unused_tcp_port}"
    with pytest.raises(SvmUnreachable, match=f"{target}: .*UNAVAILABLE"):
        await ask_ksn(Svm(target, lambda: proof_of(Authority())), 30.0)
    with pytest.raises(SvmUnreachable, match=f"{target}: this guest is not enrolled"):
        await ask_ksn(target, 30.0)
    with pytest.raises(SvmUnreachable, match='write "unix:/path" or "tcp:host:port"'):
        await ask_ksn("http://svm", 30.0)
