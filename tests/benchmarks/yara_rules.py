"""Generates YARA rules that cost what a public rule set costs, without shipping anybody's rules.

The mix was counted in a public set of 5,849 rules: 5.5 strings a rule; of the strings 63 % text (half of
them `fullword`, 28 % `wide`, 4 % `nocase`), 35 % hexadecimal (three quarters with jumps, 8 % with
wildcards), 1 % regular expressions, a few `xor` and `base64`; of the conditions 63 % ask for the first two
bytes, 59 % for the file's size, 50 % for all strings, 35 % for some of them, 9 % for any, 4 % for the PE
module, 2 % for counts, offsets and ranges. What both sets cost on the same files stands in
docs/benchmarks.md.
"""

import random
from collections.abc import Iterator

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
OPCODES = ("8B", "89", "E8", "FF", "83", "85", "0F", "33", "48", "C7", "50", "55", "74", "75", "EB", "8D")


def write_rules(count: int, seed: int = 1) -> str:
    """Return the source text of `count` rules; the same seed gives the same text."""
    source = random.Random(seed)
    return 'import "pe"\n\n' + "\n".join(_rule(source, number) for number in range(count))


def _rule(source: random.Random, number: int) -> str:
    """Return one rule named Bench_<number>."""
    wanted = source.choice((1, 2, 3, 4, 4, 5, 6, 8, 8, 8, 11))
    strings = "\n".join(f"    $s{i} = {text}" for i, text in enumerate(_strings(source, wanted)))
    condition = _condition(source, wanted)
    return f"rule Bench_{number} {{\n  strings:\n{strings}\n  condition:\n    {condition}\n}}\n"


def _strings(source: random.Random, wanted: int) -> Iterator[str]:
    """Yield `wanted` definitions; a rule mostly keeps to one kind, as rules do."""
    hexadecimal = source.random() < 0.35
    for _ in range(wanted):
        draw = source.random()
        if draw < 0.012:
            yield _regexp(source)
        elif hexadecimal:
            yield _hexadecimal(source)
        else:
            yield f'"{_text(source)}" {_modifiers(source)}'


def _text(source: random.Random) -> str:
    """Return a text of 8 to 60 characters, as it stands in a rule."""
    style = source.random()
    words = source.choices(WORDS, k=source.randint(2, 6))
    if style < 0.35:  # an API name or a symbol
        return "".join(word.capitalize() for word in words[:4]) + source.choice(SUFFIXES)
    if style < 0.6:  # a path
        return "\\\\".join(words[:4]) + f"{source.randrange(100)}" + source.choice(SUFFIXES)
    if style < 0.85:  # a message or a command
        return " ".join(words) + f" %s {source.randrange(10000)}"
    return "".join(source.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", k=24))


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
    draw = source.random()
    if draw < 0.5 or strings == 1:
        terms.append("all of them")
    elif draw < 0.85:
        terms.append(f"{source.randint(1, strings)} of them")
    elif draw < 0.94:
        terms.append("any of them")
    elif draw < 0.96:
        terms.append("#s0 > 2 and any of them")
    elif draw < 0.98:
        terms.append("$s0 in (0..4096) and any of them")
    else:
        terms.append("for all of them : ( # >= 1 )")
    return " and ".join(terms)
