"""`guest-stub run` over TLS: who it is, and what becomes of that while it protects."""

import asyncio
import json
import os
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

import grpc
from lightagent.v1 import verdict_pb2

from guest_stub.identity.kept import Identity
from guest_stub.identity.store import IdentityStore
from tests.support.apart import ROOT
from tests.support.contents import EICAR
from tests.support.enrolment_side_server import TOKEN, TlsSideServer, enrolled, tls_serving
from tests.support.guest_side_server import Behaviour, Received
from tests.support.protected import protected
from tests.support.stub_program import guest_stub
from tests.support.svm import until

LATE = "[on_access]\nopen_seconds = 60\n"


def judging() -> Behaviour:
    """An SVM that knows the EICAR test file by its content."""

    def settled(upload: Received) -> verdict_pb2.Settled:
        bad = EICAR in upload.data
        outcome = verdict_pb2.OUTCOME_MALICIOUS if bad else verdict_pb2.OUTCOME_NOT_DETECTED
        return verdict_pb2.Settled(outcome=outcome, generation=7)

    return Behaviour(on_upload=settled)


def due(side: TlsSideServer, store: IdentityStore) -> Identity:
    """An identity that is to be renewed now."""
    with_time = enrolled(side, store)
    identity = replace(with_time, renew_at=time.time() - 1)
    with store.open() as opened:
        opened.keep(identity)
    return identity


async def test_a_daemon_enrols_protects_and_is_cut_off(tmp_path: Path) -> None:
    """From the token to the first blocked file; when it is revoked it is told what to do, and enrols anew."""
    state = ("--state", tmp_path / "stub")
    async with tls_serving(judging()) as side:
        assert (await guest_stub("enrol", *side.words, "--token", TOKEN, *state)).code == 0
        guest = json.loads((await guest_stub("identity", "--json", *state)).out)["guest"]
        async with protected(tmp_path, side.target) as machine:
            await machine.says("the SVM answers")
            await machine.write("bad.com", EICAR)
            assert (await machine.run("cat", machine.top / "bad.com")).code == 1
            side.register.revoked[guest] = why = "this guest's certificate was revoked: stolen"
            side.end_reason = (grpc.StatusCode.UNAUTHENTICATED, why)
            side.end_attach()
            said = await machine.says("the SVM is gone")
            assert f"{why}: enrol this guest anew: guest-stub enrol" in said
            side.register.tokens.add("second")
            assert (await guest_stub("enrol", *side.words, "--token", "second", *state)).code == 0
            side.end_reason = (grpc.StatusCode.ABORTED, "attached anew")
            await until(lambda: len(side.hellos) == 2, "it is back as another guest, without a restart")


async def test_a_daemon_that_is_not_enrolled_says_so_and_waits_for_it(tmp_path: Path) -> None:
    """It protects as without an SVM; enrolled, it finds its way without a restart."""
    async with tls_serving(judging()) as side, protected(tmp_path, side.target) as machine:
        await machine.says("this guest is not enrolled, which every way over TCP needs")
        assert (
            await guest_stub("enrol", *side.words, "--token", TOKEN, "--state", tmp_path / "stub")
        ).code == 0
        await machine.says("the SVM answers")


async def test_a_certificate_is_renewed_while_files_are_opened(tmp_path: Path) -> None:
    """No open is let through unasked meanwhile; the daemon itself loads nothing for it."""
    async with tls_serving(judging()) as side:
        store = IdentityStore(tmp_path / "stub")
        old = due(side, store)
        async with protected(tmp_path, side.target, settings=LATE) as machine:
            await machine.says("the SVM answers")
            before = machine.libraries()
            renewed = asyncio.get_running_loop().create_task(
                machine.says("certificate of this guest was renewed")
            )
            number = 0
            while not (renewed.done() and len(side.register.shown) > 1 and number > 20):
                await machine.write(f"bad{number}.com", EICAR + bytes([number % 256]) * number)
                assert (await machine.run("cat", machine.top / f"bad{number}.com")).code == 1
                number += 1
            await renewed
            new = store.read()
            assert new is not None
            assert (new.guest, new.certificate == old.certificate) == (old.guest, False)
            assert side.register.shown[-1].decode() in new.certificate
            assert not any("no verdict" in line or "the SVM is gone" in line for line in machine.said)
            assert machine.libraries() == before
            assert not any("cryptography" in path for path in before)


async def test_the_program_that_renews_is_looked_at_like_any_other(tmp_path: Path) -> None:
    """It lies on a file system that is protected: the daemon answers for it while it begins it."""
    top = tmp_path / "top"
    python = top / "python"
    paths = [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_config_var("DESTSHARED"),
    ]
    environ = {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos"), *paths]),
    }
    copied = f'cp -L "{sys.executable}" "$1/python"'
    async with tls_serving(judging()) as side:
        due(side, IdentityStore(tmp_path / "stub"))
        async with protected(
            tmp_path, side.target, settings=LATE, prepare=copied, environ=environ, python=str(python)
        ) as machine:
            await machine.says("certificate of this guest was renewed")
            await until(lambda: any(len(upload.data) > 4096 for upload in side.uploads), "it was looked at")


async def test_no_key_is_ever_sent(tmp_path: Path) -> None:
    """Also where the state lies on what is protected: whoever opens it by whichever name, or scans it."""
    (tmp_path / "stub").mkdir(mode=0o700)
    inside = (
        f'mkdir -m 700 "$1/stub" && cp -a "{tmp_path}/stub/." "$1/stub" && '
        f'mount --bind "$1/stub" "{tmp_path}/stub"'
    )
    async with tls_serving(judging()) as side:
        due(side, IdentityStore(tmp_path / "stub"))
        async with protected(tmp_path, side.target, settings=LATE, prepare=inside) as machine:
            await machine.says("certificate of this guest was renewed")
            await until(lambda: len(side.register.shown) == 2, "the new one is shown")
            own, other = tmp_path / "stub/identity/identity.json", machine.top / "stub/identity/identity.json"
            for file in (own, other):
                assert "PRIVATE KEY" in (await machine.run("cat", file)).out
            await machine.run("ln", other, machine.top / "linked")
            assert "PRIVATE KEY" in (await machine.run("cat", machine.top / "linked")).out
            scanned = await machine.run(
                "env", f"--chdir={ROOT}", sys.executable, "-m", "guest_stub", "scan", "--all",
                "--state", tmp_path / "stub", "--svm", side.target, tmp_path / "stub", own,
            )  # fmt: skip
            assert f"{tmp_path}/stub/identity: DIRECTORY LEFT OUT: excluded" in scanned.out, scanned
            await machine.write("seen", b"PRIVATE")
            await machine.run("cat", machine.top / "seen")
            await until(lambda: any(b"PRIVATE" in upload.data for upload in side.uploads), "others are sent")
    assert not any(b"PRIVATE KEY" in upload.data for upload in side.uploads)


async def test_a_renewal_that_is_refused_is_said_and_protection_goes_on(tmp_path: Path) -> None:
    """As where another machine shows the certificate."""
    async with tls_serving(judging()) as side:
        identity = due(side, IdentityStore(tmp_path / "stub"))
        async with protected(tmp_path, side.target, settings=LATE) as machine:
            await machine.says("the SVM answers")
            side.register.revoked[identity.guest] = "another machine has shown this certificate"
            said = await machine.says("was not renewed")
            assert "another machine has shown this certificate: enrol this guest anew" in said
            await machine.write("bad.com", EICAR)
            assert (await machine.run("cat", machine.top / "bad.com")).code == 1
