"""README.md and docs/: what they lead to is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")})


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as they are made into anchors where it is shown."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> Iterator[str]:
    """The links of a page into this tree that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of this tree, and within it to a heading."""
    assert list(broken(page)) == []


def test_every_page_is_in_the_readme() -> None:
    """Whoever begins there finds each of them."""
    text = (ROOT / "README.md").read_text()
    missing = {page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text}
    assert missing == set()


def test_the_readme_of_decisions_has_each_and_each_has_its_status() -> None:
    """By which the page tells those that do not hold any more."""
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert f"({page.name})" in listed
        assert re.search(r"^Status: ", page.read_text(), re.MULTILINE), page.name
