"""svm doctor beside a real SVM in which something goes wrong."""

import asyncio
from pathlib import Path

from lightagent.v1 import verdict_pb2

from tests.support.commands import Ran, svm_program
from tests.support.ksn import misbehaving_ksn
from tests.support.misbehaving_ksn import MisbehavingKsn, answers
from tests.support.relay import free_port
from tests.support.svm import RawGuest, digest_of
from tests.support.svm_process import SvmProcess, svm_process, write_config

KSN = """
[ksn]
enabled = true
type = "private"
endpoint = "{url}"
per_day = 100

[ksn.breaker]
in_a_row = 1
pause_seconds = 600
longest_pause_seconds = 600

[limits]
open_digests = 1
max_batch = 1
"""
ASKED_FOR_CONTENT = verdict_pb2.OUTCOME_CONTENT_NEEDED


async def doctor(svm: SvmProcess, *options: str) -> Ran:
    """Run it against an SVM."""
    return await asyncio.to_thread(svm_program, "doctor", "--config", svm.directory / "svm.toml", *options)


def lines(ran: Ran, what: str) -> list[str]:
    """Mark and sentence of each line about something."""
    found = [line for line in ran.out.splitlines() if line[7:].partition(":")[0] == what]
    return [f"{line[:5].strip()}: {line[7:].partition(': ')[2]}" for line in found]


def asked(service: MisbehavingKsn) -> list[str]:
    """What the service was asked about, but for whether it tells of changes."""
    return [each.path for each in service.received if "changes" not in each.path]


async def test_ksn_is_told_of_and_asked_only_where_that_is_wanted(tmp_path: Path) -> None:
    """Nothing is sent without --online; a service that fails is amiss; a bound that was reached is told."""
    async with misbehaving_ksn() as service:
        extra = KSN.format(url=service.base_url)
        with svm_process(tmp_path, extra) as svm:
            ran = await doctor(svm, "--online")
            assert lines(ran, "KSN tenants") == [
                "note: none takes part, so nothing is asked: `svm policy create`"
            ]
            where = ("--socket", tmp_path / "admin.sock")
            accepted = ("policy", "create", "--ksn", "accept", "--statement", "1", *where)
            assert (await asyncio.to_thread(svm_program, *accepted)).code == 0
            ran = await doctor(svm)
            assert lines(ran, "KSN tenants") == ["ok: 1 of 1 take part: default"]
            assert lines(ran, "KSN service")[0].startswith("ok: ")
            assert lines(ran, "KSN quota") == ["ok: 100 of the day's 100 questions are left"]
            assert (ran.code, asked(service)) == (0, [])
            ran = await doctor(svm, "--online")
            assert len(asked(service)) == 1
            assert lines(ran, "KSN known digest")[0].endswith(" (asked for default)")

            service.act = answers({}, 500)
            async with RawGuest.connect(svm) as guest:
                first = await guest.ask(digest_of(b"a content"), budget=30)
                assert (await guest.answer(first.request_id)).outcome == ASKED_FOR_CONTENT
                second = await guest.ask(digest_of(b"another content"), budget=30)
                assert list(second.outcomes) == [verdict_pb2.OUTCOME_OVERLOADED]
            ran = await doctor(svm)
            assert lines(ran, "limit")[0].startswith("note: limits.open_digests was reached 1 times in ")
            assert lines(ran, "KSN service")[0].startswith("AMISS: ")
            assert "`svm ksn check`" in lines(ran, "KSN service")[0]
            assert ran.code == 1


async def test_certificates_that_end_soon_are_told(tmp_path: Path) -> None:
    """Of an SVM whose settings give its certificate five days."""
    address = f"127.0.0.1:{free_port()}"
    extra = "[identity]\nserver_days = 5\nadministrator_days = 20"
    write_config(tmp_path, extra, listen=f"tcp:{address}")
    made = svm_program("init", "--config", tmp_path / "svm.toml", "--address", "127.0.0.1")
    assert made.code == 0, made.err
    with svm_process(tmp_path, extra, listen=f"tcp:{address}") as svm:
        ran = await doctor(svm)
        (server,) = lines(ran, "server's certificate")
        assert server.startswith("AMISS: counts for another 4 days: `svm init --renew-server`")
        assert lines(ran, "administrator's certificate")[0].startswith("note: counts for another 19 days")
        assert lines(ran, "administrators")[0].startswith("note: the certificate of administrator counts")
        assert ran.code == 1
