"""Commands in the machines of the lab, as root, over plain ssh: `vagrant ssh -c` takes seconds each time."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 300.0  # that anything may take, emulated and beside others
_SHARED = """
Host *
  ControlMaster auto
  ControlPath {directory}/%n
  ControlPersist 600
  ConnectTimeout 30
  ServerAliveInterval 10
"""


class StoryError(Exception):
    """Something is not as it should be. The message says what."""


@dataclass(frozen=True)
class Ran:
    """What a command in a machine did."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed, in one line."""
        return " ".join(f"{self.err} {self.out}".split())[:500]


@dataclass(frozen=True)
class Machine:
    """name: Vagrant's. config: a file for ssh."""

    name: str
    config: Path

    def run(self, script: str) -> Ran:
        """Run a script of sh as root to its end. Raises StoryError when it does not come to one."""
        words = ["ssh", "-F", str(self.config), self.name, "sudo -n /bin/sh -s"]
        try:
            ran = subprocess.run(
                words, check=False, input=script, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise StoryError(f"{self.name}: `{script[:200]}` did not end within {SECONDS:g} s") from error
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def ok(self, script: str) -> str:
        """Run one that has to end with 0; what it printed."""
        ran = self.run(script)
        if ran.code:
            raise StoryError(f"{self.name}: `{script[:200]}` ended with {ran.code}: {ran.said}")
        return ran.out

    def json(self, script: str) -> Any:
        """What one prints as JSON, whatever it ends with."""
        ran = self.run(script)
        try:
            return json.loads(ran.out)
        except ValueError as error:
            raise StoryError(f"{self.name}: `{script[:200]}` printed no JSON: {ran.said}") from error

    def hang_up(self) -> None:
        """End the connection that is kept, before the machine goes."""
        words = ["ssh", "-F", str(self.config), "-O", "exit", self.name]
        subprocess.run(words, check=False, capture_output=True, timeout=SECONDS)


@dataclass(frozen=True)
class Vagrant:
    """Vagrant as a program. directory: of the Vagrantfile."""

    directory: Path

    def run(self, *words: str) -> str:
        """Run it to its end. Raises StoryError."""
        command = ["vagrant", *words]
        try:
            ran = subprocess.run(
                command,
                check=False,
                cwd=self.directory,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=2 * SECONDS,
            )
        except FileNotFoundError as error:
            raise StoryError("vagrant is not installed: apt-get install vagrant vagrant-libvirt") from error
        except subprocess.TimeoutExpired as error:
            raise StoryError(f"`vagrant {' '.join(words)}` did not end within {2 * SECONDS:g} s") from error
        if ran.returncode:
            said = " ".join(f"{ran.stderr} {ran.stdout}".split())[-800:]
            raise StoryError(f"`vagrant {' '.join(words)}` ended with {ran.returncode}: {said}")
        return ran.stdout

    def machines(self, names: list[str], directory: Path) -> list[Machine]:
        """Those of these names, which have to be up. directory: for connections; its path is short."""
        config = directory / "ssh_config"
        told = self.run("ssh-config", *names)
        config.write_text(told + _SHARED.format(directory=directory))
        os.chmod(config, 0o600)
        return [Machine(name, config) for name in names]


def until(found: Callable[[], bool], what: str) -> None:
    """Return when it is so. Raises StoryError when it is not in time."""
    end = time.monotonic() + SECONDS
    while not found():
        if time.monotonic() > end:
            raise StoryError(f"{what}: not within {SECONDS:g} s")
        time.sleep(0.5)
