"""Lists of web addresses of the operator's own."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.feeds.web_address import BadUrl
from appliance.ksn.lists import MOST_PROBLEMS, UrlLists, Word
from appliance.ksn.weburl import parse_url
from tests.support.properties import patient

HEADER = "# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter"


def row(url: str, threat: str = "malware_download") -> str:
    """A line as URLhaus writes it."""
    return f'"1","2030-03-17 17:46:40","{url}","online","","{threat}","","",""'


def lists_in(directory: Path, **files: str) -> UrlLists:
    """Lists that were read. files: by name, with a "_" for the "."."""
    for name, content in files.items():
        (directory / name.replace("_", ".")).write_text(content)
    lists = UrlLists([directory])
    lists.reload()
    return lists


def found(lists: UrlLists, url: str) -> bool:
    """Whether an address stands in them."""
    return lists.find(parse_url(url)) is not None


def test_both_forms_are_read_by_their_names(tmp_path: Path) -> None:
    """URLhaus's CSV, plain or in its ZIP, and plain lists; other files are none, subdirectories are read."""
    with zipfile.ZipFile(tmp_path / "full.zip", "w") as archive:
        archive.writestr("csv.txt", f"{HEADER}\n{row('http://zip.example/x')}\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "mine.txt").write_text("# mine\n\nhttp://plain.example/x  # why\n")
    lists = lists_in(tmp_path, a_csv=f"{HEADER}\n{row('http://csv.example/x')}\n", a_md="http://md.example/x")
    assert lists.find(parse_url("http://csv.example/x")) == Word("a.csv", "malware_download")
    assert lists.find(parse_url("http://zip.example/x")) == Word("full.zip", "malware_download")
    assert lists.find(parse_url("http://plain.example/x")) == Word("mine.txt", "")
    assert not found(lists, "http://md.example/x")
    assert (lists.report.files, lists.report.entries, lists.report.bad) == (3, 3, 0)


@pytest.mark.parametrize(
    ("listed", "asked", "stands"),
    [
        ("http://bad.example/x", "HTTP://user:pw@BAD.example:80/./x#f", True),
        ("http://bad.example/x", "http://bad.example/x?id=1", True),
        ("http://bad.example/x?id=1", "http://bad.example/x?id=1", True),
        ("http://bad.example/x?id=1", "http://bad.example/x?id=2", False),
        ("http://bad.example/x?id=1", "http://bad.example/x", False),
        ("http://bad.example/x", "http://bad.example/y", False),
        ("http://bad.example/x", "https://bad.example/x", False),
        ("http://bad.example", "http://bad.example/", True),
        ("http://bad.example", "http://bad.example/x", False),
        ("bad.example", "https://bad.example/x", True),
        ("bad.example", "http://a.b.bad.example:8080/", True),
        ("bad.example", "http://notbad.example/", False),
        ("www.bad.example", "http://bad.example/", False),
        ("bad.example:8080", "http://bad.example/", False),
        ("192.0.2.7", "http://3221225991/x", True),
        ("2.7", "http://192.0.2.7/", False),
        ("http://[2001:db8::1]/x", "http://[2001:DB8:0::1]/x", True),
    ],
)
def test_what_an_entry_stands_for(tmp_path: Path, listed: str, asked: str, stands: bool) -> None:
    """A URL for itself in every spelling, a host for itself and what is below it."""
    assert found(lists_in(tmp_path, a_txt=listed), asked) is stands


def test_bad_lines_are_counted_and_the_first_named(tmp_path: Path) -> None:
    """By file and line; the others count."""
    bad = ["two words", "ht!tp://x", "http://", *["a..b"] * MOST_PROBLEMS]
    lists = lists_in(
        tmp_path, a_txt="\n".join(["good.example", *bad]), b_csv=f"{HEADER}\n{row('nonsense')}\n"
    )
    assert found(lists, "http://good.example/")
    assert lists.report.bad == len(bad) + 1
    assert len(lists.report.problems) == MOST_PROBLEMS
    assert lists.report.problems[0].startswith(f"{tmp_path}/a.txt:2: 'two words': give one URL or host")


def test_what_cannot_be_read_is_told_and_the_rest_counts(tmp_path: Path) -> None:
    """A CSV without its header, a directory that is not there."""
    (tmp_path / "a.csv").write_text(row("http://bad.example/x"))
    (tmp_path / "b.txt").write_text("bad.example")
    lists = UrlLists([tmp_path / "nothing", tmp_path])
    report = lists.reload()
    assert (report.entries, report.bad) == (1, 2)
    assert "no directory" in report.problems[0]
    assert "no header line" in report.problems[1]


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path) -> None:
    """What comes over the bound is counted."""
    (tmp_path / "a.txt").write_text("\n".join(f"h{number}.example" for number in range(10)))
    lists = UrlLists([tmp_path], most=4)
    report = lists.reload()
    assert (report.entries, report.left_out, len(lists)) == (4, 6, 4)


def test_reading_anew_takes_the_place_of_what_was(tmp_path: Path) -> None:
    """New entries count, those that went do not, and before the first reading there are none."""
    (tmp_path / "a.txt").write_text("one.example\none.example\n")
    lists = UrlLists([tmp_path])
    assert not found(lists, "http://one.example/")
    assert lists.reload().entries == 1
    (tmp_path / "a.txt").write_text("two.example\n")
    lists.reload()
    assert [found(lists, f"http://{name}.example/") for name in ("one", "two")] == [False, True]


def test_without_directories_nothing_is_listed() -> None:
    """As by default."""
    assert UrlLists().reload().entries == 0
    assert not found(UrlLists(), "http://bad.example/")


def test_every_one_of_many_entries_is_found(tmp_path: Path) -> None:
    """By its own word, and no neighbour is."""
    names = [f"h{number}.example" for number in range(2000)]
    lists = lists_in(tmp_path, a_txt="\n".join(names))
    assert all(found(lists, f"http://{name}/") for name in names)
    assert not any(found(lists, f"http://x{name}/") for name in names)


@given(content=st.binary(max_size=400) | st.text('htp:/.#ae?x\n" ,', max_size=80).map(str.encode))
@patient
def test_whatever_is_in_a_file_the_rest_is_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Nothing is raised, in no form, and what is listed is found."""
    directory = tmp_path_factory.mktemp("lists")
    for name in ("a.csv", "b.txt", "c.zip"):
        (directory / name).write_bytes(content)
    (directory / "z.txt").write_text("last.example")
    lists = UrlLists([directory])
    lists.reload()
    assert found(lists, "http://last.example/")


@given(text=st.text(max_size=60))
@patient
def test_an_address_is_found_in_every_spelling_that_was_listed(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Whatever a URL is, once it could be listed it is found again."""
    url = f"http://bad.example/{text}"
    try:
        resource = parse_url(url)
    except BadUrl:
        return
    directory = tmp_path_factory.mktemp("lists")
    (directory / "a.csv").write_text(
        f"{HEADER}\n{row(resource.whole + ('?' + resource.query if resource.query else ''))}\n"
    )
    lists = UrlLists([directory])
    lists.reload()
    assert lists.find(resource) is not None
