"""Generates YARA rules that cost what a public rule set costs, without shipping anybody's rules.

The mix was counted in a public set of 5,849 rules in 741 files: 5.9 strings a rule; of the strings 66 % text
(half of them `fullword`, 28 % `wide`, 4 % `nocase`; one in ten is shorter than 8 characters, half are than
20), 32 % hexadecimal (three quarters with jumps, 8 % with wildcards), 2 % regular expressions, a few `xor`
and `base64`; of the conditions 63 % ask for the first two bytes, 59 % for the file's size, 50 % for all
strings, 35 % for some of them, 9 % for any, 16 % for two groups of them, 8 % look at the file's name to
leave one out, 4 % ask the PE module, 2 % for counts, offsets and ranges. What both sets cost on the same
files stands in docs/benchmarks.md.
"""

import random
from collections.abc import Iterator
from pathlib import Path

RULES_A_FILE = 7

# What malware rules look for: parts of API names, commands, paths and messages.
VOCABULARY = (
    "get set create open close read write process thread memory virtual alloc protect remote inject load "
    "library module handle token privilege adjust debug service manager registry key value query delete "
    "file directory temp system windows user profile application data local roaming startup run once "
    "command shell execute power script encoded bypass hidden window exec policy download string client "
    "server socket connect bind listen accept send receive buffer packet header cookie agent mozilla "
    "version update config install driver kernel device control hook keyboard screen capture clipboard "
    "crypto cipher decrypt encrypt public private random hash password credential dump secret lsass sam "
    "payload stage beacon sleep jitter proxy tunnel listener implant backdoor loader dropper wiper ransom "
    "error failed success invalid parameter unknown missing target host port address network domain admin"
)
WORDS = VOCABULARY.split()
SUFFIXES = (".exe", ".dll", ".sys", ".tmp", ".dat", ".php", ".ps1", ".vbs", "A", "W", "Ex", "")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
OPCODES = ("8B", "89", "E8", "FF", "83", "85", "0F", "33", "48", "C7", "50", "55", "74", "75", "EB", "8D")


def write_rules(directory: Path, count: int, seed: int = 1) -> None:
    """Write `count` rules into files of RULES_A_FILE; the same seed gives the same rules."""
    source = random.Random(seed)
    for first in range(0, count, RULES_A_FILE):
        rules = [_rule(source, number) for number in range(first, min(count, first + RULES_A_FILE))]
        (directory / f"{first:06d}.yar").write_text('import "pe"\n\n' + "\n".join(rules))


def _rule(source: random.Random, number: int) -> str:
    """Return one rule named Bench_<number>."""
    wanted = source.choice((1, 2, 3, 4, 4, 5, 6, 8, 9, 11, 12))
    strings = "\n".join(f"    $s{i} = {text}" for i, text in enumerate(_strings(source, wanted)))
    condition = _condition(source, wanted)
    return f"rule Bench_{number} {{\n  strings:\n{strings}\n  condition:\n    {condition}\n}}\n"


def _strings(source: random.Random, wanted: int) -> Iterator[str]:
    """Yield `wanted` definitions; a rule mostly keeps to one kind, as rules do."""
    hexadecimal = source.random() < 0.32
    for _ in range(wanted):
        draw = source.random()
        if draw < 0.02:
            yield _regexp(source)
        elif hexadecimal:
            yield _hexadecimal(source)
        else:
            yield f'"{_text(source)}" {_modifiers(source)}'


def _text(source: random.Random) -> str:
    """Return a text of 6 to 60 characters, as it stands in a rule. None is to be found in ordinary files."""
    if source.random() < 0.1:
        return "".join(source.choices(LETTERS, k=source.randint(6, 7)))
    style = source.random()
    words = source.choices(WORDS, k=source.randint(2, 6))
    if style < 0.35:  # an API name or a symbol
        return "".join(word.capitalize() for word in words[:4]) + source.choice(SUFFIXES)
    if style < 0.6:  # a path
        return "\\\\".join(words[:4]) + f"{source.randrange(100)}" + source.choice(SUFFIXES)
    if style < 0.85:  # a message or a command
        return " ".join(words) + f" %s {source.randrange(10000)}"
    return "".join(source.choices(LETTERS, k=24))


def _modifiers(source: random.Random) -> str:
    """Return modifiers of a text string."""
    draw = source.random()
    if draw < 0.006:
        return source.choice(("xor", "base64"))
    width = source.choices(("", "ascii", "wide", "ascii wide"), (0.3, 0.42, 0.14, 0.14))[0]
    return " ".join(
        word
        for word in (
            width,
            "nocase" if source.random() < 0.04 else "",
            "fullword" if source.random() < 0.5 else "",
        )
        if word
    )


def _hexadecimal(source: random.Random) -> str:
    """Return code bytes with jumps or wildcards between them."""
    parts = []
    draw = source.random()
    for _ in range(source.randint(2, 4)):
        run = [
            source.choice(OPCODES) if source.random() < 0.4 else f"{source.randrange(256):02X}"
            for _ in range(source.randint(4, 9))
        ]
        parts.append(" ".join(run))
    if draw < 0.75:
        joint = f" [{source.randrange(2, 5)}-{source.randrange(5, 9)}] "
    else:
        joint = " ?? ?? " if draw < 0.83 else " "
    return "{ " + joint.join(parts) + " }"


def _regexp(source: random.Random) -> str:
    """Return a regular expression with a literal in it."""
    word, other = source.choices(WORDS, k=2)
    return source.choice(
        (
            rf"/{word}_[a-z0-9]{{4,12}}\.{other}/",
            rf"/https?:\/\/[a-z0-9\.\-]{{3,40}}\/{word}\.{other}/ nocase",
            rf"/\\{word}\\[A-Za-z]{{2,8}}{other}\.(exe|dll)/",
        )
    )


def _condition(source: random.Random, strings: int) -> str:
    """Return a condition over `strings` strings."""
    terms = []
    draw = source.random()
    if draw < 0.56:
        terms.append("uint16(0) == 0x5a4d")
    elif draw < 0.63:
        terms.append(source.choice(("uint16(0) == 0x457f", "uint32(0) == 0x464c457f", "uint16(0) == 0xcfd0")))
    if source.random() < 0.59:
        terms.append(f"filesize < {source.choice((20, 100, 300, 500, 1000, 2000, 5000))}KB")
    if source.random() < 0.04:
        terms.append(
            source.choice(("pe.number_of_sections > 3", "pe.is_dll()", "pe.number_of_signatures == 0"))
        )
    terms.append(_groups(source, strings))
    if source.random() < 0.08:
        terms.append(f"not filename matches /{source.choice(WORDS)}/i")
    return " and ".join(terms)


def _groups(source: random.Random, strings: int) -> str:
    """Return how many of which strings a condition asks for."""
    draw = source.random()
    if strings > 3 and draw < 0.16:
        half = strings // 2
        groups = [_names(0, half), _names(half, strings)]
        asked = [f"{source.choice(('all', 'any', '1', '2'))} of ({group})" for group in groups]
        return f"({source.choice((' and ', ' or ')).join(asked)})"
    draw = source.random()
    if draw < 0.5 or strings == 1:
        return "all of them"
    if draw < 0.85:
        return f"{source.randint(1, strings)} of them"
    if draw < 0.94:
        return "any of them"
    if draw < 0.96:
        return "#s0 > 2 and any of them"
    if draw < 0.98:
        return "$s0 in (0..4096) and any of them"
    return "for all of them : ( # >= 1 )"


def _names(first: int, end: int) -> str:
    return ", ".join(f"$s{number}" for number in range(first, end))
