"""Parts the rules of a file: those that only a Windows program can match, and all others.

YARA-X evaluates the condition of every rule on every file, which for a small file is most of the work. Of
public rules nearly half begin with `uint16(0) == 0x5A4D and`: they match nothing that does not begin
with MZ, so whoever keeps them apart need not ask them about anything else. What is found stays the same.

It is done with the text, since YARA-X shows nobody its syntax trees, and only where it is certain: a file
is left whole when its rules refer to each other, when one is global or private, or when anything in it
is not understood.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

MAGIC: Final = b"MZ"

# "/" begins a comment or a regular expression and nothing else: YARA divides by a backslash.
_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:[^"\\\n]++|\\[^\n])*+")
    |(?P<regexp>/(?![*/])(?:[^/\\\n]++|\\[^\n])++/[is]*)
    |(?P<string>[$\#@!]\w+\*?)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>(?:0x[0-9A-Fa-f]+|0o[0-7]+|\d+(?:\.\d+)?(?:KB|MB)?)(?!\w))
    |(?P<odd>\d\w*)
    |(?P<mark>[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_NOT_IN_A_RULE = frozenset({"rule", "import", "include", "global", "private"})
_DEEPEST = 20  # parentheses within each other
_READS: dict[str, tuple[int, Literal["little", "big"]]] = {
    "uint16": (2, "little"),
    "uint16be": (2, "big"),
    "uint32": (4, "little"),
    "uint32be": (4, "big"),
}


class Parted(NamedTuple):
    """The text of a file twice: without the rules of the other part, but with every line in its place."""

    everywhere: str
    windows: str  # "" where no rule is one of these


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


class _Rule(NamedTuple):
    name: str
    start: int
    end: int
    condition: list[_Token]


class _NotUnderstood(Exception):
    """The file is not of a form that can be parted."""


def part(text: str) -> Parted:
    """Return the two parts of a rule file. Never raises: what is not understood is one part."""
    try:
        rules = _rules(text)
        _check_independence(rules)
    except _NotUnderstood:
        return Parted(text, "")
    windows: list[_Rule] = []
    others: list[_Rule] = []
    for rule in rules:
        (windows if _needs_magic(rule.condition) else others).append(rule)
    return Parted(_without(text, windows), _without(text, others) if windows else "")


def _rules(text: str) -> list[_Rule]:
    """Return every rule of a file, in order. Raises _NotUnderstood."""
    if '"""' in text:
        raise _NotUnderstood
    tokens = _tokens(text)
    rules: list[_Rule] = []
    for token in tokens:
        if token.text == "import":
            _expect(next(tokens, None), "text")
        elif token.text == "rule":
            rules.append(_rule(token.start, tokens))
        else:
            raise _NotUnderstood
    return rules


def _tokens(text: str) -> Iterator[_Token]:
    """Yield what stands in the text, but for blanks and comments. Raises _NotUnderstood."""
    for found in _TOKEN.finditer(text):
        if found[0] in ('"', "/"):  # of a text, a comment or a regular expression without an end
            raise _NotUnderstood
        if found.lastgroup is not None and found.lastgroup != "blank":
            yield _Token(found.lastgroup, found[0], *found.span())


def _rule(start: int, tokens: Iterator[_Token]) -> _Rule:
    """Return the rule whose first word was read."""
    name = _expect(next(tokens, None), "word").text
    for token in tokens:  # the tags
        if token.text == "{":
            break
        if token.kind != "word" and token.text != ":":
            raise _NotUnderstood
    _skip_to_condition(tokens)
    condition: list[_Token] = []
    for token in tokens:
        if token.text == "}":
            return _Rule(name, start, token.end, condition)
        # A number that runs into a word: YARA-X reads `1or` as two.
        if token.kind == "odd" or token.text in _NOT_IN_A_RULE or token.text == "{":
            raise _NotUnderstood
        condition.append(token)
    raise _NotUnderstood


def _skip_to_condition(tokens: Iterator[_Token]) -> None:
    """Read over the meta entries and the strings, and `condition:`."""
    before = ""
    for token in tokens:
        if token.text in _NOT_IN_A_RULE or token.text == "}":
            raise _NotUnderstood
        if before == "=" and token.text == "{":
            _skip_hexadecimal(tokens)
        elif before == "condition" and token.text == ":":
            return
        before = token.text


def _skip_hexadecimal(tokens: Iterator[_Token]) -> None:
    for token in tokens:
        if token.text == "}":
            return
        if token.kind in ("text", "regexp") or token.text == "{":
            raise _NotUnderstood
    raise _NotUnderstood


def _expect(token: _Token | None, kind: str) -> _Token:
    if token is None or token.kind != kind:
        raise _NotUnderstood
    return token


def _check_independence(rules: Sequence[_Rule]) -> None:
    """Raise _NotUnderstood where a rule may refer to another, or two have one name."""
    names = {rule.name for rule in rules}
    if len(names) < len(rules):
        raise _NotUnderstood
    in_order = sorted(names)
    for rule in rules:
        words = [token.text for token in rule.condition]
        for token, after in zip(rule.condition, [*words[1:], ""], strict=False):
            several = after == "*" and _begins(in_order, token.text)
            if token.kind == "word" and (several or token.text in names):
                raise _NotUnderstood


def _begins(names: Sequence[str], word: str) -> bool:
    """Whether the name of a rule begins with a word, as in `any of (word*)`. names: in order."""
    at = bisect_left(names, word)
    return at < len(names) and names[at].startswith(word)


def _needs_magic(condition: Sequence[_Token], within: int = 0) -> bool:
    """Whether the condition is false for all that does not begin with MAGIC. within: how deep it stands."""
    if not condition or within > _DEEPEST:
        return False
    terms: list[list[_Token]] = [[]]
    depth = 0
    for token in condition:
        depth += (token.text in "([") - (token.text in ")]")
        if depth == 0 and token.text == "or":
            return False
        if depth == 0 and token.text == "and":
            terms.append([])
        else:
            terms[-1].append(token)
    return depth == 0 and any(
        _asks_for_magic(term) or _needs_magic(_inside(term), within + 1) for term in terms
    )


def _inside(term: Sequence[_Token]) -> Sequence[_Token]:
    """Return what stands in the parentheses around a whole term; nothing where none are."""
    depth = 0
    for index, token in enumerate(term):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return term[1:-1] if 0 < index == len(term) - 1 else ()
    return ()


def _asks_for_magic(term: Sequence[_Token]) -> bool:
    """Whether a term is `uint16(0) == 0x5A4D`, or says as much in another way."""
    words = [token.text for token in term]
    if len(words) != 6:
        return False
    if words[1] == "==":
        words = [*words[2:], "==", words[0]]
    read, opening, offset, closing, equals, value = words
    if read not in _READS or (opening, closing, equals) != ("(", ")", "=="):
        return False
    size, order = _READS[read]
    try:
        wanted = int(value, 0).to_bytes(size, order)
        return int(offset, 0) == 0 and wanted.startswith(MAGIC)
    except (ValueError, OverflowError):
        return False


def _without(text: str, rules: Sequence[_Rule]) -> str:
    """Return the text with blanks in place of the rules."""
    pieces, end = [], 0
    for rule in rules:
        pieces += [text[end : rule.start], re.sub(r"[^\n]", " ", text[rule.start : rule.end])]
        end = rule.end
    return "".join([*pieces, text[end:]])
