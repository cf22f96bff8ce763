"""In which line of a TOML text a setting stands."""

from appliance.config_lines import lines_of

TEXT = '''# a comment
top = 1
dotted.name = 2

[table]  # with a comment
text = """
[not.a.table]
fake = 1
"""
list = [
  "a", # ]
  "b",
]
inline = {one = 1, two = {three = 3}}
"quoted key" = 1

[table.inner]
x = 1

[[rows]]
y = 1
[[rows]]
y = 2
last = 1'''


def test_each_name_has_the_line_in_which_it_begins() -> None:
    """Tables, dotted names, values of several lines, inline tables, quoted names, rows of tables."""
    assert lines_of(TEXT) == {
        ("top",): 2,
        ("dotted",): 3,
        ("dotted", "name"): 3,
        ("table",): 5,
        ("table", "text"): 6,
        ("table", "list"): 10,
        ("table", "inline"): 14,
        ("table", "inline", "one"): 14,
        ("table", "inline", "two"): 14,
        ("table", "inline", "two", "three"): 14,
        ("table", "quoted key"): 15,
        ("table", "inner"): 17,
        ("table", "inner", "x"): 18,
        ("rows",): 20,
        ("rows", "y"): 21,
        ("rows", "last"): 24,
    }


def test_line_ends_of_windows_and_odd_separators_count_right() -> None:
    """CRLF ends a line; a line separator within a string does not."""
    assert lines_of("a = 1\r\nb = '\u2028\x85'\r\nc = 2\r\n") == {("a",): 1, ("b",): 2, ("c",): 3}
