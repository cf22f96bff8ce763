"""What is known of guests and their files, of a running SVM."""

import time
from pathlib import Path

from appliance.control import SvmControl
from appliance.domain.outcome import Disposition
from appliance.domain.override import Override
from appliance.exposure_control import GuestControl
from tests.support.contents import EICAR
from tests.support.svm import RawGuest, digest_of, running_svm

PLAIN = b"plain"


async def test_guests_and_what_they_hold(tmp_path: Path) -> None:
    """Who is attached with what it calls itself, who was here; each file with what is known of it."""
    async with running_svm(tmp_path) as svm:
        control = GuestControl(svm.parts)
        async with RawGuest.connect(svm) as away:
            await away.ask(digest_of(PLAIN))
            (session,) = svm.parts.sessions.all()
            gone = session.guest.id
        async with RawGuest.connect(svm) as here:
            for content in (PLAIN, EICAR):
                reply = await here.ask(digest_of(content))
                await here.send(reply.details[0].lease, content)
            (session,) = svm.parts.sessions.all()
            holders = await control.holders(digest_of(PLAIN), "")
            assert {(holder.guest, holder.attached) for holder in holders} == {
                (gone, gone == session.guest.id),
                (session.guest.id, True),
            }
            assert all(time.time() - 2 * 3600 < holder.last <= time.time() for holder in holders)
            assert [holder.guest for holder in await control.holders(digest_of(EICAR), "")] == [
                session.guest.id
            ]
            first = next(control.guests(""))
            assert (first.guest, first.attached, first.host_name) == (session.guest.id, True, "raw")
            assert control.tenant_of(session.guest.id) == "default"
            assert control.tenant_of("nobody") is None


async def test_an_administrators_word_stands_before_verdicts(tmp_path: Path) -> None:
    """As it does for guests; what nobody knows has none."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(digest_of(EICAR))
        await guest.send(reply.details[0].lease, EICAR)
        control, changes = GuestControl(svm.parts), SvmControl(svm.parts, "1", False, time.time)
        digests = [digest_of(EICAR), digest_of(b"nobody knows it")]
        found, nothing = control.words(digests, "")
        assert found is not None
        assert (found.disposition, nothing) == (Disposition.MALICIOUS, None)
        await changes.set_override(digests[0], Override(True, "a test", "me", int(time.time())), "")
        [allowed] = control.words(digests[:1], "")
        assert allowed is not None
        assert allowed.disposition is Disposition.CLEAN
