"""The help of `svm-host`."""

import io
from contextlib import redirect_stdout

import pytest

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run

COMMANDS = ("vms", "deploy", "upgrade", "undeploy")


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_has_examples_and_exit_codes(words: list[str]) -> None:
    """What an operator reads first."""
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as ended:
        run(words, Console({}, out, io.StringIO(), lambda: 0.0, program="svm-host"))
    assert ended.value.code == 0
    assert "examples:" in out.getvalue()
    assert "exit codes:" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 100
