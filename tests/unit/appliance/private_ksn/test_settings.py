"""Settings: what a file may say."""

from dataclasses import fields
from pathlib import Path

import pytest

import appliance.private_ksn
from appliance.private_ksn.settings import Settings, SettingsError, host_and_port, load

EXAMPLE = Path(appliance.private_ksn.__path__[0]) / "private-ksn.example.toml"


def test_the_example_gives_the_defaults_and_has_every_setting() -> None:
    """Every value in it is the one that counts where none is given."""
    assert load(EXAMPLE) == load(None) == Settings()
    text = EXAMPLE.read_text()
    names = [one.name for part in fields(Settings) for one in fields(getattr(Settings(), part.name))]
    assert [name for name in names if f"\n{name} = " not in text] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nlistne = 1", ":2: server.listne: no such setting; did you mean listen"),
        ("[limits]\nwaiting = 0", ":2: limits.waiting: 0 is out of range"),
        ('[server]\nlisten = "0.0.0.0:1"', ":2: server.listen: .* in the clear"),
        ('[server]\nlisten = "ksn.example:1"', ":2: server.listen: .* in the clear"),
        ('[server]\ncertificate = "/x"', ":2: .* one without the other"),
        ('[server]\nlisten = ""', "must not be empty"),
        ("x", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """With its line, and what is allowed."""
    (tmp_path / "c").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load(tmp_path / "c")


def test_plain_http_beyond_the_loopback_is_a_decision(tmp_path: Path) -> None:
    """It has to be written in as many words; a certificate needs none."""
    for more in ('plain_http = "anywhere-i-accept-the-risk"', 'certificate = "/c"\nprivate_key = "/k"'):
        (tmp_path / "c").write_text(f'[server]\nlisten = "[::]:8443"\n{more}\n')
        assert host_and_port(load(tmp_path / "c").server.listen) == ("::", 8443)
