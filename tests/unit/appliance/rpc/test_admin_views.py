"""What an administrator is shown, as messages."""

from lightagent.v1 import admin_pb2

from appliance.domain.caller import Caller, Role
from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.verdict import Verdict
from appliance.rpc.admin_views import (
    GuestView,
    StatusView,
    VerdictView,
    audit_message,
    guest_message,
    override_message,
    source_message,
    source_messages,
    status_reply,
    timestamp,
    verdict_reply,
)
from appliance.scanning.result import EngineState, SignatureSource
from appliance.state.store import AuditEntry

DIGEST = b"d" * 32
PROVIDER = Caller("root", Role.PROVIDER)


def test_no_time_is_no_message() -> None:
    """0 stands for "no end" in the SVM, and for nothing at all on the wire."""
    assert timestamp(0) is None
    message = timestamp(7.9)
    assert message is not None
    assert message.seconds == 7
    assert not override_message(Override(True, "why", "who", 5), "").HasField("expires")


def test_a_status_has_its_guests_engines_and_figures() -> None:
    """Every field of the view stands in the reply."""
    view = StatusView(
        "1.2",
        5.0,
        (1 << 64) - 1,
        (GuestView("id", "host", "0.1", 6.0, 7, 8),),
        (EngineState("clamd", "1.4", False, "start it", 9),),
        True,
    )
    reply = status_reply(view, {"guests_attached": 1.0})
    assert (reply.version, reply.started.seconds, reply.generation) == ("1.2", 5, (1 << 64) - 1)
    [guest], [engine] = map(guest_message, view.guests), reply.engines
    assert (guest.id, guest.host_name, guest.stub_version) == ("id", "host", "0.1")
    assert (guest.attached.seconds, guest.digests_asked, guest.bytes_uploaded) == (6, 7, 8)
    assert (engine.name, engine.version, engine.ready) == ("clamd", "1.4", False)
    assert (engine.problem, engine.signatures) == ("start it", 9)
    assert dict(reply.figures) == {"guests_attached": 1.0}
    assert reply.unsandboxed


def test_a_digest_is_known_by_a_verdict_or_by_an_override() -> None:
    """Either makes it known; neither leaves the reply empty."""
    verdict = Verdict(Disposition.SUSPICIOUS, Source.ENGINE, 3, 4, 5, threat="T", engine="E", member="M")
    override = Override(False, "why", "who", 6, 7)
    assert not verdict_reply(VerdictView(None, 0, False, None), PROVIDER).known
    assert verdict_reply(VerdictView(None, 0, False, override), PROVIDER).known
    reply = verdict_reply(VerdictView(verdict, 16, True, override), PROVIDER)
    assert reply.known
    stored = reply.verdict
    assert (int(stored.outcome), stored.detail.threat, stored.detail.member) == (2, "T", "M")
    assert (stored.generation, stored.stored.seconds, stored.expires.seconds) == (3, 4, 5)
    assert (stored.current, stored.scope) == (True, 16)
    assert (reply.override.allow, reply.override.author, reply.override.expires.seconds) == (False, "who", 7)


def test_problems_of_a_source_are_bounded() -> None:
    """At most 100 and a count, however many there are."""
    problems = tuple(f"f:{number}: bad" for number in range(150))
    message = source_message(SignatureSource("yara", "/f", 5, problems))
    assert len(message.problems) == 101
    assert message.problems[-1] == "and 50 more"
    assert list(source_message(SignatureSource("yara", "/f", 5, problems[:100])).problems) == list(
        problems[:100]
    )


def test_sources_fit_a_message_however_many_there_are() -> None:
    """The last one counts what was left out, with its signatures and its problems."""
    source = SignatureSource("yara", "/srv/rules/" + "a" * 200, 5, ("/srv/rules/a:1: " + "b" * 300,) * 50)
    messages = source_messages([source] * 1000)
    reply = admin_pb2.ListSignaturesReply(generation=(1 << 64) - 1, sources=messages)
    assert 800_000 < reply.ByteSize() < 1_000_000
    left_out = 1000 - (len(messages) - 1)
    assert messages[-1].path == f"and {left_out} more files"
    assert messages[-1].signatures == 5 * left_out
    assert list(messages[-1].problems) == [f"{50 * left_out} problems of these: see `svm signatures test`"]
    assert [message.path for message in source_messages([source])] == [source.path]


def test_an_entry_of_the_audit_keeps_its_fields() -> None:
    """Who, what, when, why, until when."""
    message = audit_message(AuditEntry(5.5, "who", "block", DIGEST, "why", 9))
    assert (message.at.seconds, message.author, message.action) == (5, "who", "block")
    assert (message.sha256, message.reason, message.expires.seconds) == (DIGEST, "why", 9)


def test_a_tenant_is_not_told_why_the_provider_has_spoken() -> None:
    """That may be another tenant's affair: it sees what counts and until when. Of its own it sees all."""
    override = Override(False, "seen at acme", "uid-0", 6, 7)
    tenant = Caller("uid-7", Role.TENANT_ADMIN, "other")
    said = verdict_reply(VerdictView(None, 0, False, override), tenant).override
    assert (said.allow, said.expires.seconds, said.set.seconds) == (False, 7, 6)
    assert (said.reason, said.author, said.tenant) == ("", "provider", "")
    own = verdict_reply(VerdictView(None, 0, False, override, override_of="other"), tenant).override
    assert (own.reason, own.author, own.tenant) == ("seen at acme", "uid-0", "other")
    assert verdict_reply(VerdictView(None, 0, False, override), PROVIDER).override.reason == "seen at acme"
