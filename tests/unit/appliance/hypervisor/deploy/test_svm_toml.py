"""The operator's svm.toml, and the doors of his SVM."""

import tomllib

import pytest

from appliance.hypervisor.deploy.deployment import BadDeployment
from appliance.hypervisor.deploy.svm_toml import checked_settings, joined, own_of

DOORS = {"listen": "tcp:10.1.0.2:7443", "enrolment": "10.1.0.2:7444", "admin_listen": "10.2.0.2:7445"}
SERVERS = (
    "",
    "# nothing but a comment",
    "[limits]\nmax_guests = 7\n",
    "[server]\nname = 'a'\n",
    "[server]",
    "[limits]\nmax_guests = 7\n[server] # mine\nname = 'a'",
    "[server]\r\nname = 'a'\r\n[limits]\r\nmax_guests = 7\r\n",
    "[ server ]\nname = 'a'\n",
    "\t[server]\t\n\tname = 'a'\n",
    "# what stands in [server]\n[limits]\n",
    'text = """\n[server]\n"""\n[server]\nname = \'a\'\n',
    'text = """\n[server]\n"""\n[limits]\n',
    "server.name = 'a'\nother = 1\n[limits]\n",
    "name = 'of no table'\n[limits]\n",
    "[server.more]\nname = 'a'\n",
)


@pytest.mark.parametrize("own", SERVERS)
def test_what_is_joined_is_both_and_nothing_else(own: str) -> None:
    """However he writes his [server]; and his part is got from it again, which gives the same once more."""
    text = joined(own, DOORS)
    mine = tomllib.loads(own)
    assert tomllib.loads(text) == {**mine, "server": {**mine.get("server", {}), **DOORS}}
    again = own_of(text, DOORS)
    assert tomllib.loads(again) == mine | ({"server": mine.get("server", {})} if "[server]" in again else {})
    assert joined(again, DOORS) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server", "is no TOML"),
        ("a = " + "[" * 60_000, "is no TOML"),
        ('[server]\nlisten = "tcp:0.0.0.0:1"\n', "has server.listen, which deploy sets itself"),
        ('server.enrolment = "0.0.0.0:1"\n', "has server.enrolment, which deploy sets itself"),
        ('[server]\nstate_dir = "/x"\n', "has server.state_dir"),
        ("server = {}\n", "cannot be put into --svm-config: write its settings of the server as a table"),
        ("server = { name = 'a' }\n", "cannot be put into --svm-config"),
        ("['server']\nname = 'a'\n", "cannot be put into --svm-config"),
        ("server = 1\n", "has a server that is no table"),
        ("[[server]]\n", "has a server that is no table"),
        ("#" * 200_000, "more than 131,072 bytes"),
    ],
)
def test_settings_that_cannot_be(text: str, sentence: str) -> None:
    """They are told before anything is made."""
    with pytest.raises(BadDeployment, match=sentence):
        checked_settings(text)


def test_what_was_not_joined_with_these_doors_is_nobodys_part() -> None:
    """Nothing is guessed: of an SVM at another address, or of somebody's making."""
    other = joined("[limits]\n", DOORS | {"enrolment": "10.9.0.2:7444"})
    ours = joined("[limits]\n", DOORS)
    for text in (
        "",
        "[server]\n",
        other,
        ours.replace("[server]\n", "[server]\nadmin = 'x'\n"),
        f"[server]\n{ours}",
    ):
        with pytest.raises(BadDeployment, match="the doors that this SVM has"):
            own_of(text, DOORS)
