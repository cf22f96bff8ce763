"""`private-ksn` as processes: sets are replaced while it serves; an import that is killed changes nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.private_ksn.keys import new_key
from tests.support.commands import DEADLINE, ROOT

ENVIRON = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
PROGRAM = [sys.executable, "-m", "appliance.private_ksn"]
KEY, LINE = new_key("svm-1")
OLD, NEW = "ab" * 32, "cd" * 32


def command(directory: Path, *words: object) -> str:
    """Run a command on the store, and return what it printed."""
    whole = [*PROGRAM, *map(str, words), "--config", str(directory / "c.toml")]
    ran = subprocess.run(whole, env=ENVIRON, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@contextmanager
def served(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A serving process on a free port, which stands in its first line."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (directory / "keys").write_text(LINE + "\n")
    lines = (
        f'listen = "127.0.0.1:{port}"',
        f'data_dir = "{directory}/data"',
        f'keys_file = "{directory}/keys"',
    )
    (directory / "c.toml").write_text("\n".join(["[server]", *lines]))
    with subprocess.Popen(
        [*PROGRAM, "serve", "--config", str(directory / "c.toml")],
        env=ENVIRON,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def asked(base: str, call: str) -> tuple[int, str]:
    """The status and the body of an answer."""
    request = urllib.request.Request(f"{base}/{call}", headers={"x-api-key": KEY})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def killed_import(directory: Path) -> None:
    """Begin an import whose source is long, and kill it once it has begun its file."""
    source = directory / "long"
    source.write_text(f"{NEW}\n")
    os.truncate(source, 1 << 36)  # takes no room on the disk, and long to read
    before = set((directory / "data" / "feeds").glob("*.lmdb"))
    words = ["import", "plain", str(source), "--zone", "red", "--config", str(directory / "c.toml")]
    with subprocess.Popen([*PROGRAM, *words], env=ENVIRON) as process:
        deadline = time.monotonic() + DEADLINE
        while set((directory / "data" / "feeds").glob("*.lmdb")) == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        assert process.wait(DEADLINE) == -signal.SIGKILL
    source.unlink()


def test_a_pipe_that_nobody_writes_to_holds_nothing_up(tmp_path: Path) -> None:
    """An import from it ends with a sentence, for a list and within a folder; the next import may run."""
    (tmp_path / "feed").mkdir()
    pipes = {"plain": tmp_path / "pipe", "misp": tmp_path / "feed" / "manifest.json"}
    for path in pipes.values():
        os.mkfifo(path)
    for form, file in (("plain", tmp_path / "pipe"), ("misp", tmp_path / "feed")):
        words = ["import", form, str(file), "--zone", "red", "--data", str(tmp_path / "data")]
        ran = subprocess.run(
            [*PROGRAM, *words], env=ENVIRON, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert (ran.returncode, ran.stderr) == (
            2,
            f"private-ksn: {pipes[form]}: is no regular file: write what comes by a pipe or a device to "
            "one first\n",
        )


def test_sets_are_replaced_under_a_server_and_a_killed_import_leaves_the_old(tmp_path: Path) -> None:
    """The old set is answered until the new one is whole; what a killed import left is removed later."""
    with served(tmp_path) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert '"serving"' in first
        base = f"http://127.0.0.1:{first.partition('[')[2].partition(']')[0]}/api/v1"
        assert asked(base, f"search/hash?request={OLD}")[0] == 404
        (tmp_path / "old").write_text(OLD)
        command(tmp_path, "import", "plain", tmp_path / "old", "--zone", "red")
        assert '"Red"' in asked(base, f"search/hash?request={OLD}")[1]
        assert f'"value": "{OLD}", "zone": "Red"' in asked(base, "changes?since=0&wait=30")[1]

        killed_import(tmp_path)
        assert asked(base, f"search/hash?request={OLD}")[0] == 200
        assert asked(base, f"search/hash?request={NEW}")[0] == 404
        assert len(list((tmp_path / "data" / "feeds").glob("*.lmdb"))) == 2

        (tmp_path / "new").write_text(NEW)
        command(tmp_path, "import", "plain", tmp_path / "new", "--zone", "yellow")
        assert len(list((tmp_path / "data" / "feeds").glob("*.lmdb"))) == 1
        assert asked(base, f"search/hash?request={OLD}")[0] == 404
        assert '"Yellow"' in asked(base, f"search/hash?request={NEW}")[1]

        command(tmp_path, "set", NEW, "--zone", "green")
        assert '"Green"' in asked(base, f"search/hash?request={NEW}")[1]
        process.terminate()
        assert process.wait(DEADLINE) == 0
