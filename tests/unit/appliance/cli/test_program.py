"""The command line of `svm` as a whole."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli import check_config
from appliance.cli.console import Console
from appliance.cli.parsing import INTERRUPTED, PIPE_CLOSED
from appliance.cli.program import run
from tests.support.commands import svm

MAN_PAGE = Path(__file__).parents[4] / "docs" / "man" / "svm.1"
COMMANDS = [
    ("serve",),
    ("check-config",),
    ("status",),
    ("verdicts",),
    ("verdicts", "show"),
    ("verdicts", "set"),
    ("verdicts", "clear"),
    ("audit",),
    ("guests", "tokens"),
    ("guests", "withdraw"),
    ("signatures",),
    ("signatures", "list"),
    ("signatures", "reload"),
    ("signatures", "test"),
    ("cache",),
    ("cache", "stats"),
    ("policy",),
    ("policy", "list"),
    ("policy", "show"),
    ("policy", "create"),
    ("policy", "change"),
    ("policy", "history"),
    ("ksn",),
    ("ksn", "status"),
    ("ksn", "check"),
    ("ksn", "lookup"),
    ("ksn", "preview"),
    ("ksn", "statement"),
    ("ksn", "statement", "show"),
    ("ksn", "ledger"),
]


def test_what_is_not_named_is_not_imported() -> None:
    """A command of an SVM that boots does not wait for those that it does not use."""
    look = (
        "import io, sys, time\n"
        "from appliance.cli.console import Console\n"
        "from appliance.cli.program import run\n"
        "run(['packet-filter'], Console({}, io.StringIO(), sys.stderr, time.time))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('appliance.cli.')))"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60)
    assert "appliance.cli.packet_filter" in ran.stdout.split()
    assert not {"appliance.cli.serve", "appliance.cli.status"} & set(ran.stdout.split())


def test_the_help_names_every_command_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them alone is found too, by the same name."""
    with pytest.raises(SystemExit):
        svm("--help")
    listed = re.findall(r"^    ([a-z-]+)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert len(listed) == len(set(listed)) > 15
    for command in listed:
        with pytest.raises(SystemExit) as ended:
            svm(command, "--help")
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: svm {command} ")


@pytest.mark.parametrize("command", [(), *COMMANDS])
def test_every_command_has_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """--help shows the usage; each command that does something shows an example and its exit codes."""
    with pytest.raises(SystemExit) as ended:
        svm(*command, "--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(('svm', *command))} ")
    nouns_alone = {("verdicts",), ("signatures",), ("cache",), ("policy",), ("ksn",), ("ksn", "statement")}
    if command not in nouns_alone:
        assert "example" in text
        assert "exit codes:" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: COMMAND; see `svm --help`"),
        (("stats",), "invalid choice: 'stats'"),
        (("verdicts",), "the following arguments are required: VERB; see `svm verdicts --help`"),
        (("status", "--jsn"), "unrecognized arguments: --jsn; see"),
        (("--json", "status"), "unrecognized arguments: --json: options stand behind the command; see"),
        (("--server", "h:1", "status"), "'host-port'): options stand behind the command; see `svm --help`"),
        (("guests", "--server", "h:1", "list"), "options stand behind the command; see `svm guests --help`"),
        (("status", "--js"), "unrecognized arguments: --js"),
        (("verdicts", "set", "a" * 64, "--reason", "x"), "one of the arguments --allow --block is required"),
        (("verdicts", "set", "a" * 64, "--allow"), "the following arguments are required: --reason"),
        (("audit", "--limit", "x"), "invalid int value: 'x'"),
    ],
)
def test_a_wrong_command_line_ends_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    """What is wrong and where the help is, on stderr, with exit code 2."""
    ran = svm(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert re.fullmatch(r"svm: .*; see `svm.* --help`\n", ran.err)


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted command ends as a shell expects, without a traceback."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check_config, "load", interrupted)
    ran = svm("check-config")
    assert (ran.code, ran.err) == (INTERRUPTED, "")


def test_a_reader_that_goes_away_ends_quietly() -> None:
    """`svm ... | head -1` gives no traceback."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    err = io.StringIO()
    assert run(["check-config"], Console({}, Closed(), err, lambda: 0)) == PIPE_CLOSED
    assert err.getvalue() == ""


def test_the_man_page_has_every_command_and_variable() -> None:
    """docs/man/svm.1 is written by hand: it names what --help names."""
    page = MAN_PAGE.read_text().replace("\\-", "-")
    for command in COMMANDS:
        assert " ".join(command) in page
    for name in ("KVMLA_CONFIG", "KVMLA_STATE_DIR", "KVMLA_ADMIN_SOCKET"):
        assert f".B {name}\n" in page
