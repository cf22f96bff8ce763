"""API keys and their file."""

from pathlib import Path

import pytest

from appliance.private_ksn.keys import KeysError, load_keys, new_key


def test_a_new_key_opens_and_no_other_does(tmp_path: Path) -> None:
    """The file has only its hash."""
    (one, line), (other, _) = new_key("svm-1"), new_key("svm-2")
    (tmp_path / "keys").write_text(f"# ours\n\n{line}\n")
    keys = load_keys(tmp_path / "keys")
    assert keys.owner(one) == "svm-1"
    assert [keys.owner(wrong) for wrong in (other, "", one[:-1], "x" * 10_000, "\udc80")] == [None] * 5
    assert one not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 keys"),
        ("svm-1 zz", ":1: must be NAME and 64"),
        ("a " + "0" * 64 + "\na " + "1" * 64, ":2: there is a key of a already"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the line; a file that is not there too."""
    (tmp_path / "keys").write_text(text)
    with pytest.raises(KeysError, match=said):
        load_keys(tmp_path / "keys")
    with pytest.raises(KeysError, match="cannot be read"):
        load_keys(tmp_path / "none")
