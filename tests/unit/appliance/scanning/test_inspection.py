"""Tests of appliance/scanning/inspection.py, with real containers and engines that say what a test needs."""

import gzip
import os
from collections.abc import Callable

import pytest

from appliance.config import UnpackLimits
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.eicar import THREAT, EicarEngine
from appliance.scanning.engines.engine import MAX_DETECTIONS, Engine, EngineFailure
from appliance.scanning.inspection import Inspection, inspect
from tests.support import archives
from tests.support.contents import EICAR

LIMITS = UnpackLimits()
INNOCENT = {"readme.txt": b"nothing to see"}


class Looking:
    """An engine that notes what it is shown, and says what `says` returns or raises."""

    name = "looking"
    version = "1"

    def __init__(
        self, says: Callable[[Content], list[Detection]] = lambda _: [], unpacks: bool = False
    ) -> None:
        """Begin with nothing shown."""
        self.unpacks = unpacks
        self.shown: list[str] = []
        self._says = says

    def scan(self, content: Content) -> list[Detection]:
        """Note the member, and speak."""
        self.shown.append(content.member)
        return self._says(content)


def look(data: bytes, *engines: Engine, limits: UnpackLimits = LIMITS, name: bytes = b"") -> Inspection:
    """Show `data` to `engines`, the EICAR engine if there are none."""
    return inspect(engines or (EicarEngine(),), Content.of_bytes(data, name), limits)


def failing(why: Unanswered, sentence: str = "it broke") -> Looking:
    """An engine that cannot look."""

    def fail(_: Content) -> list[Detection]:
        raise EngineFailure(sentence, why)

    return Looking(fail)


def saying(*detections: Detection) -> Looking:
    """An engine that says the same of everything."""
    return Looking(lambda _: list(detections))


def test_an_innocent_file_ends_without_a_word() -> None:
    """No detection, and all was looked at."""
    assert look(b"innocent") == Inspection()


def test_the_file_itself_is_detected() -> None:
    """A detection of the file itself names no member."""
    assert look(EICAR).detections == (Detection(THREAT, "eicar"),)


@pytest.mark.parametrize(
    ("wrap", "member"),
    [
        (lambda d: archives.zipped({"b/eicar.com": d}), "b/eicar.com"),
        (lambda d: archives.compressed(d, "gz"), "content"),
        (lambda d: archives.zipped({"in.zip": archives.zipped({"b/c.exe": d})}), "in.zip!b/c.exe"),
        (lambda d: archives.compressed(archives.tarred({"a/b": d}), "xz"), "a/b"),
        (lambda d: archives.deb({"usr/bin/x": d}), "data.tar.xz!usr/bin/x"),
        (
            lambda d: archives.zipped({"word/embeddings/o.bin": d, "[Content_Types].xml": b"<x/>"}),
            "word/embeddings/o.bin",
        ),
        (lambda d: archives.zipped({"a.gz": archives.compressed(d, "gz")}), "a.gz!a"),
    ],
    ids=["zip", "gz", "zip in zip", "tar.xz", "deb", "document", "gz in zip"],
)
def test_what_stands_in_a_container_is_found_and_named(wrap: Callable[[bytes], bytes], member: str) -> None:
    """A detection in a member names the way to it, container by container."""
    seen = look(wrap(EICAR))
    assert seen.detections == (Detection(THREAT, "eicar", member),)
    assert seen.no_answer is None


def test_every_engine_sees_the_file_and_each_member() -> None:
    """The file is shown whole as well as in its parts."""
    engine = Looking()
    look(archives.zipped({"a": b"1", "b.zip": archives.zipped({"c": b"2"})}), engine)
    assert engine.shown == ["", "a", "b.zip", "b.zip!c"]


def test_an_engine_that_unpacks_by_itself_gets_whole_files_only() -> None:
    """clamd does its own unpacking; it is not shown members."""
    engine, other = Looking(unpacks=True), Looking()
    look(archives.zipped(INNOCENT), engine, other)
    assert (engine.shown, other.shown) == ([""], ["", "readme.txt"])


def test_nothing_is_unpacked_once_something_malicious_is_found() -> None:
    """The answer cannot get worse, so the rest is not looked at."""
    engine = saying(Detection("Bad", "looking"))
    look(archives.zipped(INNOCENT), engine)
    assert engine.shown == [""]
    other = Looking()
    look(archives.zipped({"a": EICAR, "b": b"later"}), EicarEngine(), other)
    assert other.shown == ["", "a"]


def test_the_worst_detection_comes_first() -> None:
    """Malicious is said before suspicious, whoever spoke first and wherever it stands."""
    doubtful = Looking(
        lambda content: [] if content.member else [Detection("Adware", "looking", "", Disposition.SUSPICIOUS)]
    )
    seen = look(archives.zipped({"a": EICAR}), doubtful, EicarEngine())
    assert [d.threat for d in seen.detections] == [THREAT, "Adware"]


def test_detections_are_bounded() -> None:
    """Many members with doubtful content give a bounded list."""
    doubtful = saying(Detection("Adware", "looking", "", Disposition.SUSPICIOUS))
    data = archives.zipped({str(number): b"x" for number in range(3 * MAX_DETECTIONS)})
    assert len(look(data, doubtful).detections) == MAX_DETECTIONS


@pytest.mark.parametrize("why", [Unanswered.ENGINE_ERROR, Unanswered.TIMED_OUT, Unanswered.TOO_LARGE])
def test_an_engine_that_cannot_look_leaves_the_question_unanswered(why: Unanswered) -> None:
    """What one engine could not look at is not called clean; the sentence says why."""
    seen = look(b"innocent", EicarEngine(), failing(why))
    assert seen.detections == ()
    assert seen.no_answer is not None
    assert (seen.no_answer.why, seen.no_answer.reason) == (why, "it broke")


def test_a_detection_wins_over_an_engine_that_cannot_look() -> None:
    """One engine's word is enough to call a file malicious."""
    seen = look(EICAR, failing(Unanswered.ENGINE_ERROR), EicarEngine())
    assert [d.threat for d in seen.detections] == [THREAT]
    assert seen.no_answer is None


def test_the_reason_that_may_pass_is_said_first() -> None:
    """An engine that failed weighs more than what lies in the content: asking again may help."""
    locked = archives.locked_zip(INNOCENT)
    seen = look(locked, failing(Unanswered.ENGINE_ERROR))
    assert seen.no_answer is not None
    assert seen.no_answer.why is Unanswered.ENGINE_ERROR


def test_a_password_ends_as_encrypted() -> None:
    """What cannot be opened is not called clean."""
    seen = look(archives.locked_zip({"eicar.com": EICAR}))
    assert seen.no_answer is not None
    assert seen.no_answer.why is Unanswered.ENCRYPTED


def test_a_detection_beside_a_password_wins() -> None:
    """A container that holds a locked container and something malicious is malicious."""
    data = archives.zipped({"locked.zip": archives.locked_zip(INNOCENT), "eicar.com": EICAR})
    assert [d.member for d in look(data).detections] == ["eicar.com"]


@pytest.mark.parametrize(
    ("data", "limits", "setting"),
    [
        (archives.zipped({str(n): b"x" for n in range(5)}), UnpackLimits(max_members=4), "max_members"),
        (archives.zipped({"a": bytes(2_000_000)}), UnpackLimits(max_member_mib=1), "max_member_mib"),
        (archives.zipped({"a": archives.zipped(INNOCENT)}), UnpackLimits(max_depth=1), "max_depth"),
    ],
    ids=["members", "member", "depth"],
)
def test_a_bomb_ends_as_too_large(data: bytes, limits: UnpackLimits, setting: str) -> None:
    """Over a limit of unpacking the content is unanswered, and the setting is named."""
    seen = look(data, limits=limits)
    assert seen.no_answer is not None
    assert seen.no_answer.why is Unanswered.TOO_LARGE
    assert setting in seen.no_answer.reason


def test_the_limits_count_over_nested_containers() -> None:
    """A bomb that is spread over many containers is no smaller."""
    data = archives.zipped({f"{n}.zip": archives.zipped({"a": b"1", "b": b"2"}) for n in range(5)})
    assert look(data, limits=UnpackLimits(max_members=15)).no_answer is None
    seen = look(data, limits=UnpackLimits(max_members=14))
    assert seen.no_answer is not None
    assert seen.no_answer.why is Unanswered.TOO_LARGE


def test_what_was_found_before_the_limit_counts() -> None:
    """A detection wins over the limit that was met later."""
    data = archives.zipped({"eicar.com": EICAR, "zeros": bytes(2_000_000)})
    assert look(data, limits=UnpackLimits(max_member_mib=1)).detections != ()


def test_a_method_that_is_not_supported_ends_as_an_engine_error() -> None:
    """A member that others can unpack and this program cannot is not called clean."""
    data = bytearray(archives.zipped({"a.txt": b"text"}))
    data[8] = data[data.rindex(b"PK\x01\x02") + 10] = 9  # deflate64
    seen = look(bytes(data))
    assert seen.no_answer is not None
    assert seen.no_answer.why is Unanswered.ENGINE_ERROR
    assert "deflation-64-bit" in seen.no_answer.reason


def test_a_damaged_container_is_looked_at_as_far_as_it_goes() -> None:
    """What can be read is scanned; if nothing is found it counts as looked at, and the damage is noted."""
    whole = archives.tarred({"a.txt": b"text", "b.bin": os.urandom(10_000)})
    seen = look(archives.zipped({"t.tar": whole[:5000]}))
    assert seen.no_answer is None
    assert seen.damaged.startswith("the tar t.tar could not be read to its end: ")
    found = look(archives.tarred({"a.com": EICAR, "b.bin": os.urandom(10_000)})[:5000])
    assert [d.member for d in found.detections] == ["a.com"]


def test_a_descriptor_is_inspected_where_it_lies() -> None:
    """Content that came as a descriptor is scanned and unpacked, and stays the caller's."""
    data = archives.zipped({"eicar.com": EICAR, "large": os.urandom(2_000_000)})
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        content = Content.of_descriptor(fd, ContentLabel(b"", len(data), b"a.zip"))
        assert [d.member for d in inspect([EicarEngine()], content, LIMITS).detections] == ["eicar.com"]
        content.close()
        assert os.fstat(fd).st_size == len(data)
    finally:
        os.close(fd)


def test_an_engine_out_of_memory_ends_as_too_large() -> None:
    """A content that takes more memory than a worker has is unanswered, and the worker lives on."""

    def exhaust(_: Content) -> list[Detection]:
        raise MemoryError

    seen = look(b"innocent", Looking(exhaust))
    assert seen.no_answer is not None
    assert seen.no_answer.why is Unanswered.TOO_LARGE
    assert "worker_memory_mib" in seen.no_answer.reason


@pytest.mark.parametrize("front", [gzip.compress(b"hello"), archives.tarred({"b": b"y"}), b"MSCF\0\0\0\0"])
def test_a_zip_behind_another_container_is_opened_too(front: bytes) -> None:
    """What a more forgiving program would open as a zip is not hidden by what stands before it."""
    found = look(front + archives.zipped({"a.com": EICAR}), EicarEngine())
    assert [detection.member for detection in found.detections] == ["a.com"]


def test_what_is_appended_is_found_and_named() -> None:
    """A tar behind the end of another one hides nothing."""
    found = look(archives.tarred(INNOCENT) + archives.tarred({"a.com": EICAR}))
    assert [detection.member for detection in found.detections] == ["a.com"]
