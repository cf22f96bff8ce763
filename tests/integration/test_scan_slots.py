"""Scans in guests run on slots: under pressure, beside opens that wait, and with hostile guests."""

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_scans import ScansSettings
from appliance.rpc.scan_words import MOST_COUNTED
from appliance.scans.desk import MOST_OWN_SCANS
from appliance.scans.orders import Wanted
from tests.support.scan_guest import CANCELLED, DONE, RUNNING, WAITING, ScanGuest, new_scan
from tests.support.scanning import workers_below
from tests.support.svm import RawGuest, Svm, digest_of, end_of, running_svm, until

EVERYTHING = Wanted((), "uid-0", 0)
LARGE = 300_000  # bytes: does not share a message to a worker


def tell_pressure(proc: Path, io: float) -> None:
    """Have a kernel's files say how pressed it is."""
    (proc / "pressure").mkdir(parents=True, exist_ok=True)
    for name, some in (("cpu", 0.0), ("io", io), ("memory", 0.0)):
        line = f"some avg10={some:.2f} avg60=0.00 avg300=0.00 total=0\n"
        new = proc / f"{name}.new"
        new.write_text(line)
        new.replace(proc / "pressure" / name)
    (proc / "stat").write_text("cpu  1 0 0 1 0 0 0 0 0 0\n")


def figure(svm: Svm, name: str) -> float:
    """One of the desk's figures."""
    return svm.parts.scans.figures()[name]


async def test_slots_are_withdrawn_under_pressure_and_come_back(tmp_path: Path) -> None:
    """All of them where the settings say so; the scans go on when it has eased."""
    proc = tmp_path / "proc"
    tell_pressure(proc, 0)
    scans = ScansSettings(slots=1, least_slots=0)
    async with running_svm(tmp_path, scans=scans, proc=proc) as svm, ScanGuest.connect(svm) as guest:
        scan = new_scan()
        await guest.status(scan, WAITING)
        await guest.has_slot(scan)
        tell_pressure(proc, 99)
        await guest.has_slot(scan, granted=False)
        assert (figure(svm, "scan_slots"), figure(svm, "pressure_io")) == (0, 99)
        tell_pressure(proc, 1)
        await guest.has_slot(scan)


async def test_a_slot_is_free_when_its_session_goes(tmp_path: Path) -> None:
    """The next one has it; so do those who say that they scan without one."""
    async with running_svm(tmp_path, scans=ScansSettings(slots=1)) as svm, AsyncExitStack() as stack:
        first = await stack.enter_async_context(ScanGuest.connect(svm, daemon=False))
        one, other = new_scan(), new_scan()
        await first.status(one, WAITING)
        await first.has_slot(one)
        async with ScanGuest.connect(svm) as second:
            await second.status(other, RUNNING)
            await second.has_slot(other, granted=False)
            assert figure(svm, "scan_slots_waiting") == 1
            await stack.aclose()
            await second.has_slot(other)
            await second.status(other, DONE)
            await until(lambda: figure(svm, "scan_slots_used") == 0, "the slot is given back")


async def test_a_second_daemon_takes_over_what_is_ordered(tmp_path: Path) -> None:
    """It is told of it anew; what the first had is free."""
    async with running_svm(tmp_path, scans=ScansSettings(slots=1)) as svm, ScanGuest.connect(svm) as guest:
        (placed,) = await svm.parts.scans.orders.place(svm.parts.scans.guests(), EVERYTHING)
        assert placed.order is not None
        scan = await guest.task()
        await guest.status(scan, RUNNING)
        await guest.has_slot(scan)
        session = (*guest.raw.metadata, ("session", "0" * 16))
        async with ScanGuest.attached(RawGuest(guest.raw.stub, session)) as again:
            assert (await guest.refused()).status is grpc.StatusCode.ABORTED
            assert await again.task() == scan
            await again.status(scan, WAITING)
            await again.has_slot(scan)


async def test_hostile_statuses_are_bounded_and_refused(tmp_path: Path) -> None:
    """Each with a sentence; what a guest makes up costs nobody else anything."""
    async with running_svm(tmp_path) as svm:
        ill = {
            "give exactly 16": guest_pb2.ScanStatus(scan=b"x", state=WAITING),
            "none that this SVM knows": guest_pb2.ScanStatus(scan=new_scan()),
            "state 77": guest_pb2.ScanStatus(scan=new_scan(), state=77),  # type: ignore[arg-type]
        }
        for sentence, status in ill.items():
            async with ScanGuest.connect(svm) as guest:
                await guest.raw.attach.write(guest_pb2.AttachRequest(scan=status))
                ended = await guest.refused()
                assert ended.status is grpc.StatusCode.INVALID_ARGUMENT
                assert sentence in ended.sentence
        async with RawGuest.connect(svm, attach=False) as raw:
            raw.attach = raw.stub.Attach(metadata=raw.metadata)
            early = guest_pb2.ScanStatus(scan=new_scan(), state=WAITING)
            await raw.attach.write(guest_pb2.AttachRequest(scan=early))
            assert "a Hello" in (await end_of(raw.attach)).sentence
        assert figure(svm, "scan_slots_used") == figure(svm, "scan_slots_waiting") == 0


async def test_ten_thousand_scans_are_not_begun(tmp_path: Path) -> None:
    """The fifth that is not over ends the Attach; ends of unknown ones, over and over, change nothing."""
    async with running_svm(tmp_path) as svm:
        said: list[tuple[str, str]] = []
        svm.parts.sessions.on_breach.append(lambda _guest, kind, sentence: said.append((kind, sentence)))
        async with ScanGuest.connect(svm) as guest:
            for _ in range(3):
                await guest.status(new_scan(), CANCELLED)
            for _ in range(10_000):
                if guest.ended is not None:
                    break
                await guest.status(new_scan(), WAITING)
            await guest.refused()  # grpc.aio loses a status that comes while a message is written
        (sentence,) = [sentence for kind, sentence in said if kind == "refused"]
        assert f"{MOST_OWN_SCANS} scans of this session" in sentence
        await until(lambda: figure(svm, "scan_slots_used") == 0, "its slots are free")
        assert figure(svm, "scan_slots_waiting") == 0


async def test_huge_numbers_and_texts_are_cut(tmp_path: Path) -> None:
    """What is kept of a guest's word has a bound; an order of another guest is none of its affair."""
    async with running_svm(tmp_path) as svm, ScanGuest.connect(svm) as guest, ScanGuest.connect(svm) as other:
        desk = svm.parts.scans
        mine, _ = desk.guests()
        await desk.orders.place({mine: "default"}, EVERYTHING)
        scan = await guest.task()
        await other.status(scan, DONE, files=1)
        await other.status(scan, WAITING)
        await other.has_slot(scan)
        assert [order.id for order in desk.orders.open()] == [scan]
        top = 2**64 - 1
        await guest.status(
            scan, DONE, files=top, bytes=top, malicious=top, expected_files=top, text="é" * 2000
        )
        await until(lambda: not desk.orders.open(), "the order is over")
        (order,) = desk.orders.all()
        assert order.counts.files == order.counts.malicious == MOST_COUNTED
        assert len(order.text.encode()) <= 512


async def test_an_open_goes_before_a_scan(tmp_path: Path) -> None:
    """A content that an open waits for is looked at before those that a scan has queued earlier."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as tree, RawGuest.connect(svm) as opener:
        (worker,) = workers_below(os.getpid())
        os.kill(worker, signal.SIGSTOP)
        try:
            contents = [os.urandom(LARGE) for _ in range(8)]
            reply = await tree.ask(*map(digest_of, contents))
            leases = {detail.index: detail.lease for detail in reply.details}
            for index, content in enumerate(contents):
                await tree.upload(tree.parts_of(leases[index], content))
            await until(lambda: svm.parts.scanner.figures()["queued"] >= 6, "the scan's contents wait")
            opened = os.urandom(LARGE)
            asked = await opener.ask(digest_of(opened), purpose=verdict_pb2.PURPOSE_ON_ACCESS)
            await opener.upload(opener.parts_of(asked.details[0].lease, opened))
            # The last of the scan's contents is opened too: it is the same content, and goes first as well.
            joined = await opener.ask(digest_of(contents[-1]), purpose=verdict_pb2.PURPOSE_ON_ACCESS)
            await until(lambda: svm.parts.scanner.urgent_queued == 2, "both are urgent")
            ends: list[bytes] = []
            svm.parts.protection.on_scanned.append(lambda key, _content, _answer: ends.append(key[1]))
        finally:
            os.kill(worker, signal.SIGCONT)
        await opener.answer(asked.request_id)
        await opener.answer(joined.request_id)
        await until(lambda: len(ends) == 9, "all are looked at")
    order = [ends.index(digest_of(content)) for content in (opened, contents[-1])]
    assert order == [2, 3]  # behind the two that the worker had already
    assert [ends.index(digest_of(content)) for content in contents[2:-1]] == [4, 5, 6, 7, 8]
