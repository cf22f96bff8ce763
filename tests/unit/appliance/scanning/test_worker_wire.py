"""Tests of appliance/scanning/worker_wire.py."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import ClamdSettings, EngineSettings, UnpackLimits, YaraSettings
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import MAX_MEMBER_BYTES, MAX_THREAT_BYTES, Detection, NoAnswer
from appliance.scanning.confinement import Confinement
from appliance.scanning.worker_wire import (
    MAX_DETECTIONS,
    MAX_JOBS,
    MAX_JOBS_BYTES,
    MAX_NAME_BYTES,
    MAX_REPLY_BYTES,
    JobAnswer,
    Misbehaved,
    Order,
    Refused,
    Role,
    Started,
    decode_answers,
    decode_first,
    decode_jobs,
    encode_answer,
    encode_first,
    encode_jobs,
)

CONFINEMENT = Confinement(1 << 30, 1 << 33, 1 << 30)


def found(number: int, **body: object) -> memoryview:
    """A worker's answer whose body is forged."""
    whole = {"detections": [], "no_answer": None, "damaged": False} | body
    text = json.dumps(whole).encode()
    return memoryview(struct.pack("<BQI", 2, number, len(text)) + text)


def test_an_order_arrives_as_it_was_given() -> None:
    """Role, settings with their paths, limits and confinement survive the way to the worker."""
    engines = EngineSettings(
        yara=YaraSettings(rules_dirs=(Path("/etc/rules"), Path("/srv/ünï")), match_timeout_seconds=7),
        clamd=ClamdSettings(enabled=True, socket=Path("/run/c.sock")),
    )
    order = Order(Role.BUILD, engines, UnpackLimits(max_depth=3), CONFINEMENT)
    assert Order.decode(order.encode()) == order


def test_settings_that_do_not_fit_into_a_message_are_refused() -> None:
    """Thousands of rule directories are named as the reason."""
    many = tuple(Path(f"/rules/{number:060}") for number in range(2000))
    with pytest.raises(ValueError, match="fewer directories"):
        Order(Role.BUILD, EngineSettings(YaraSettings(rules_dirs=many)), UnpackLimits(), CONFINEMENT).encode()


def test_jobs_arrive_as_they_were_given() -> None:
    """Numbers and labels survive, one after another; a name that is too long is cut."""
    jobs = [
        (1 << 60, ContentLabel(bytes(range(32)), 1 << 40, b"x.exe")),
        (2, ContentLabel(b"\xff" * 32, 0, b"")),
        (3, ContentLabel(bytes(32), 7, b"\xff\x00")),
    ]
    assert list(decode_jobs(encode_jobs(jobs))) == jobs
    long = encode_jobs([(1, ContentLabel(bytes(32), 0, b"n" * 1000))] * MAX_JOBS)
    assert len(long) <= MAX_JOBS_BYTES
    assert {label.name for _, label in decode_jobs(long)} == {b"n" * MAX_NAME_BYTES}


@pytest.mark.parametrize(
    "answer",
    [
        JobAnswer(7),
        JobAnswer(7, (Detection("Threat", "yara", "a.zip!b", Disposition.SUSPICIOUS), Detection("T", "e"))),
        JobAnswer(7, no_answer=NoAnswer(Unanswered.ENCRYPTED, "a password is needed")),
        JobAnswer(7, damaged=True),
    ],
)
def test_an_answer_arrives_as_it_was_given(answer: JobAnswer) -> None:
    """Detections, a reason, damage, or nothing at all."""
    assert list(decode_answers(memoryview(encode_answer(answer)))) == [answer]


def test_answers_share_a_message() -> None:
    """Short ones and long ones, one after another, and what is wrong behind them is told all the same."""
    answers = [JobAnswer(1), JobAnswer(2, (Detection("T", "e"),)), JobAnswer(3), JobAnswer(4, damaged=True)]
    message = b"".join(map(encode_answer, answers))
    assert list(decode_answers(memoryview(message))) == answers
    forged = decode_answers(memoryview(message + b"\x01"))
    assert [next(forged) for _ in answers] == answers
    with pytest.raises(Misbehaved):
        next(forged)


def test_the_longest_answer_fits_into_a_message() -> None:
    """Even when every byte of every name has to be escaped, and more was found than is told."""
    detection = Detection("\u20ac" * (MAX_THREAT_BYTES // 3), "e" * 64, '"' * MAX_MEMBER_BYTES)
    message = encode_answer(JobAnswer(1, (detection,) * 50))
    assert len(message) <= MAX_REPLY_BYTES
    (answer,) = decode_answers(memoryview(message))
    assert answer.detections == (detection,) * MAX_DETECTIONS


@pytest.mark.parametrize("first", [Started(True), Started(False), Refused("the bundle is damaged")])
def test_the_answer_to_an_order_arrives_as_it_was_given(first: Started | Refused) -> None:
    """Ready with or without the filter, or refused with a sentence."""
    assert decode_first(memoryview(encode_first(first))) == first


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"\x09" + bytes(12),
        b"\x01" + bytes(13),
        b"\x01" + bytes(8) + b"\x01\0\0\0{",
        b"\x02" + bytes(12),
        b"\x02" + bytes(8) + b"\x01\0\0\0{",
        b"\x02" + bytes(8) + b"\xff\xff\xff\xff{}",
        b"\x02" + bytes(8) + struct.pack("<I", 100_000) + b"[" * 100_000,
        b"\x02" + bytes(8) + b"\x02\0\0\0[]",
        b"\x02" + bytes(8) + b"\x04\0\0\0\xff\xfe{}",
    ],
)
def test_what_is_no_answer_is_misbehaviour(message: bytes) -> None:
    """Short, unknown, too long, and bodies that are no JSON object."""
    with pytest.raises(Misbehaved):
        list(decode_answers(memoryview(message)))


@pytest.mark.parametrize(
    "body",
    [
        {"detections": None},
        {"detections": [["t", "e", "m", 1]] * (MAX_DETECTIONS + 1)},
        {"detections": [["t", "e", "m"]]},
        {"detections": [["t", "e", "m", 3]]},
        {"detections": [["t", "e", 5, 1]]},
        {"detections": [{"threat": "t"}]},
        {"no_answer": [4, "clean, believe me"]},
        {"no_answer": ["ENGINE_ERROR", ""]},
        {"no_answer": [[12], ""]},
        {"no_answer": [12, None]},
        {"no_answer": 12},
        {"damaged": 1},
    ],
)
def test_a_body_of_the_wrong_form_is_misbehaviour(body: dict[str, object]) -> None:
    """Wrong types, numbers that stand for nothing, and endless lists."""
    with pytest.raises(Misbehaved):
        list(decode_answers(found(1, **body)))


def test_hostile_texts_become_printable_and_short() -> None:
    """Escape sequences, lone surrogates and megabytes come out as text that can be stored and shown."""
    (answer,) = decode_answers(found(1, detections=[["\x1b[2J\ud800\u202e", "e" * 1000, "m" * 100_000, 1]]))
    (detection,) = answer.detections
    for text, limit in ((detection.threat, 256), (detection.engine, 64), (detection.member, 1024)):
        assert text.isprintable()
        assert len(text.encode()) <= limit


@given(st.binary(max_size=64) | st.binary(max_size=32).map(lambda tail: b"\x02" + bytes(8) + tail))
def test_no_bytes_raise_anything_else(message: bytes) -> None:
    """Whatever a worker sends is an answer or Misbehaved."""
    for decode in (lambda said: list(decode_answers(said)), decode_first):
        if message:
            try:
                said: object = decode(memoryview(message))
            except Misbehaved as error:
                said = str(error)
            assert said
