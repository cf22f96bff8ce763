"""`svm-host serve` as the service that it is, by its unit, under a real systemd."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.support.booted import booted
from tests.support.host_agent import host_agent, site
from tests.support.svm_process import ROOT

UNIT = "svm-host.service"
SHIPPED = (ROOT / "appliance/hypervisor/systemd" / UNIT).read_text()

# The program is not installed here, and its state is this test's, below /tmp; nothing else is started.
HERE = """
[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart={python} {command}
StateDirectory=
ReadWritePaths={directory}
PrivateTmp=no
WorkingDirectory={root}
Environment=PYTHONPATH={root}:{root}/protos
StandardOutput=append:{directory}/log
StandardError=append:{directory}/log
{more}
"""
CAP_DAC_OVERRIDE = 1
# libvirt makes the directory of a machine's channel so, for QEMU's user alone.
QEMU_UID, QEMU_MODE = 64055, 0o750

REACH = """
import asyncio, pathlib, sys
from appliance.hypervisor.attest.channel import opened

async def reach(path):
    async with opened(path) as channel:
        print(await channel.receive(30))

asyncio.run(reach(pathlib.Path(sys.argv[1])))
"""


def units(directory: Path, command: str, more: str = "") -> dict[str, str]:
    """The unit as it is shipped, with what this machine wants of it. more: of [Service]."""
    here = HERE.format(python=sys.executable, command=command, directory=directory, root=ROOT, more=more)
    return {UNIT: SHIPPED, f"{UNIT}.d/here.conf": here}


async def test_it_tells_the_svm_of_a_host_with_no_more_rights_than_its_unit_gives(tmp_path: Path) -> None:
    """It is ready, keeps its state, asks libvirt, and speaks TLS with the SVM."""
    async with site(tmp_path / "svm") as here:
        with here.serving():
            identity = await here.certificate("host-agent", "host-1")
            agent = host_agent(tmp_path / "agent", "test:///default", here, identity)
            command = f"-m appliance.hypervisor serve --config {agent.config}"
            with booted(agent.directory, units(agent.directory, command), tmp_path / "top") as system:
                shown = await asyncio.to_thread(system.becomes, UNIT, "active")
                await here.until(here.protections, {"test": "not-enrolled"})
                rights = system.run("cat", f"/proc/{shown['MainPID']}/status").stdout
                assert f"CapEff:\t{1 << CAP_DAC_OVERRIDE:016x}\n" in rights
                system.run("systemctl", "stop", UNIT)
                stopped = await asyncio.to_thread(system.becomes, UNIT, "inactive")
            assert stopped["Result"] == "success"
            assert "SVM is not told" not in agent.log


def test_it_reaches_the_channel_by_which_a_machine_enrols(tmp_path: Path) -> None:
    """QEMU's socket is in a directory that nobody but QEMU's user may enter."""
    channel = tmp_path / "channel"
    channel.mkdir(mode=QEMU_MODE)
    with socket.socket(socket.AF_UNIX) as qemu:
        qemu.bind(str(channel / "org"))
        (channel / "org").chmod(0o755)
        for each in (channel / "org", channel):
            os.chown(each, QEMU_UID, QEMU_UID)
        qemu.listen(1)
        (tmp_path / "reach.py").write_text(REACH)
        once = units(tmp_path, f"{tmp_path}/reach.py {channel}/org", "Type=exec\nWatchdogSec=0\nRestart=no\n")
        with booted(tmp_path, once, tmp_path / "top") as system:
            qemu.settimeout(60)
            try:
                machine, _ = qemu.accept()
            except TimeoutError:
                pytest.fail((tmp_path / "log").read_text())
            with machine:
                machine.sendall(b"I am web-1")
                assert system.becomes(UNIT, "inactive")["Result"] == "success"
    assert (tmp_path / "log").read_text() == "b'I am web-1'\n"
