"""Tests of appliance/scanning/engines/yara_split.py."""

import random

import pytest
import yara_x
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.scanning.engines.yara_split import Parted, part

MZ = "uint16(0) == 0x5A4D"


def rule(name: str, condition: str, strings: str = "") -> str:
    """The text of a rule in several lines."""
    return f"rule {name} {{\n  {strings}\n  condition:\n    {condition}\n}}\n"


def names(text: str) -> list[str]:
    """The rules that YARA-X finds in a text."""
    compiler = yara_x.Compiler()
    compiler.define_global("filename", "")
    compiler.add_source(text)
    return sorted(found.identifier for found in compiler.build())


def matching(text: str, data: bytes) -> list[str]:
    """The rules of a text that match; those that are none are left out."""
    compiler = yara_x.Compiler()
    compiler.ignore_invalid_rules(True)
    compiler.define_global("filename", "")
    compiler.add_source(text)
    return sorted(found.identifier for found in yara_x.Scanner(compiler.build()).scan(data).matching_rules)


@pytest.mark.parametrize(
    "condition",
    [
        MZ,
        f"{MZ} and filesize < 100KB",
        f"filesize < 100KB and {MZ}",
        f"({MZ} and uint32(uint32(0x3C)) == 0x00004550) and filesize > 1",
        f"(({MZ}) and (filesize > 1 or filesize < 5))",
        f"{MZ} and not (filesize > 1 or filesize < 5)",
        f"{MZ} /* or */ and filesize > 1 // or anything",
        f'{MZ} and filename matches /a"or\\{{/i',
        "0x5a4d == uint16(0)",
        "uint16be(0x0) == 0x4d5a and filesize > 1",
        "uint16(0) == 23117 and for any i in (1..3) : (i == 2 or i == 1)",
        "uint32be(0) == 0x4d5a9000",
    ],
)
def test_a_rule_that_needs_the_magic_is_for_windows(condition: str) -> None:
    """However it is written, where all of the condition hangs on it."""
    parted = part(rule("a", condition) + rule("b", "filesize > 0"))
    assert names(parted.windows) == ["a"]
    assert names(parted.everywhere) == ["b"]


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        f"{MZ} or filesize > 1",
        f"{MZ} and filesize > 9 or filesize > 1",
        f"({MZ} or filesize > 1) and filesize < 9",
        f"not {MZ}",
        f"not ({MZ} and filesize > 1)",
        "uint16(0) != 0x5A4D",
        "uint16(1) == 0x5A4D",
        "uint16(0) == 0x5A4D + 1",
        "uint16(0) & 0x5A4D == 0x5A4D",
        "uint16be(0) == 0x5A4D",
        "uint8(0) == 0x4d",
        "uint32(0) == 0x464c457f",
        "uint16(0) == 0x5A4D5A4D",
        f"for all i in (0..1) : ({MZ})",
        f"({MZ}) == true",
        f"{MZ} and filesize < 1KBor filesize >= 0",
        f"{MZ} and filesize < 0x1or filesize >= 0",
        f"{MZ} and 1 == 0or/**/filesize >= 0",
    ],
)
def test_any_other_rule_stays(condition: str) -> None:
    """Where it could match something else, or where that is not certain."""
    text = rule("a", condition) + rule("b", "filesize > 0")
    assert part(text) == Parted(text, "")


@pytest.mark.parametrize(
    "text",
    [
        rule("a", MZ) + rule("b", "a"),
        rule("a", MZ) + rule("b", "any of (a*)"),
        rule("sus_a", MZ) + rule("b", "any of (sus_*)"),
        "private " + rule("a", MZ),
        "global " + rule("a", MZ),
        rule("a", MZ) + rule("a", MZ),
        'include "other.yar"\n' + rule("a", MZ),
        rule("a", MZ) + "rule b {",
        rule("a", MZ) + "rule b { condition: true",
        rule("a", MZ) + "rule { condition: true }",
        rule("a", MZ) + 'rule b { strings: $a = "open\n condition: true }',
        rule("a", MZ) + 'rule b { meta: x = """ text """ condition: true }',
        rule("a", MZ) + "rule b { strings: $a = { AA condition: true",
        rule("a", MZ) + "rule b : x / { condition: true }",
        rule("a", MZ) + "what",
        "import",
        "",
    ],
)
def test_a_file_that_is_not_understood_stays_whole(text: str) -> None:
    """Rules that hang on each other, and what is no rule file: YARA-X says what it thinks of that."""
    assert part(text) == Parted(text, "")


def test_every_line_keeps_its_place() -> None:
    """What is wrong with a rule is reported by its line; imports are for both parts."""
    text = (
        'import "pe"\n'
        + rule("a", MZ)
        + "// between\n"
        + rule("b", "true")
        + rule("c", f"{MZ} and pe.is_dll()")
    )
    parted = part(text)
    for kept in parted:
        assert [len(line) for line in kept.splitlines()] == [len(line) for line in text.splitlines()]
        assert kept.startswith('import "pe"\n')
    assert (names(parted.everywhere), names(parted.windows)) == (["b"], ["a", "c"])


def test_what_looks_like_a_rule_is_none() -> None:
    """Braces, quotes and words of the language in texts, patterns and comments mean nothing."""
    strings = r"""
  meta: x = "rule } {"
  strings:
    $a = "} condition: \" or"
    $b = { AA [2-4] ( BB | CC ) // }
    }
    $c = /\/\} or "\{/"""
    text = rule("a", f"{MZ} and any of them", strings) + "/* rule x { */" + rule("b", "any of them", strings)
    parted = part(text)
    assert (names(parted.everywhere), names(parted.windows)) == (["b"], ["a"])


@given(text=st.text(alphabet='rule ab{}":=/*condition\n()and or$', max_size=300))
@example(text=rule("a", "(" * 500 + MZ + ")" * 500))
@example(text=rule("a", MZ) + "/*")
def test_any_text_is_parted_without_an_error(text: str) -> None:
    """An operator's file may hold anything; nothing of it is lost."""
    parted = part(text)
    assert len(parted.everywhere) == len(text)
    assert parted.windows == "" or len(parted.windows) == len(text)


@given(seed=st.integers(0, 1 << 32))
def test_both_parts_together_find_what_the_whole_finds(seed: int) -> None:
    """Conditions at random, on content with the magic and without."""
    source = random.Random(seed)
    text = "".join(rule(f"r{number}", _condition(source, 3)) for number in range(6))
    parted = part(text)
    for data in (b"MZ1", b"MZ123456", b"M", b"", b"ELF 123", b"ZM"):
        found = matching(parted.everywhere, data)
        if data.startswith(b"MZ"):
            found += matching(parted.windows, data) if parted.windows else []
        assert sorted(found) == matching(text, data)


def _condition(source: random.Random, depth: int) -> str:
    """A condition over the magic and the size, as deep as said."""
    if not depth or source.random() < 0.2:
        return source.choice(
            (MZ, MZ, "filesize < 4", "filesize<0x4", "2.5>2", "filesize > 2", "uint16(0) == 0x4c45", "true")
        )
    parts = [_condition(source, depth - 1) for _ in range(source.randint(1, 3))]
    glue = source.choice((" and ", " and ", " or ", "/**/and/**/", "or ", "/**/or\t"))
    joined = glue.join(parts)
    return source.choice(("{}", "({})", "not ({})", "({}) and " + MZ)).format(joined)
