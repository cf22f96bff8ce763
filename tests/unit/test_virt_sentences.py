"""What libvirt complains of, whichever call it is: each sentence that `virt` has for it is heard."""

import ast
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import libvirt
import pytest

from appliance.hypervisor.virt import (
    backups,
    channels,
    checkpoints,
    definitions,
    domains,
    events,
    finding,
    links,
    networks,
    ports,
    snapshots,
    volumes,
)
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import Machine, find_machine
from tests.support.failing_libvirt import Calls, complaint
from tests.support.virt_test_host import UUID, own_test_host

VIRT = Path(__file__).parents[2] / "appliance" / "hypervisor" / "virt"
MOST = 50  # calls of one function
LEFT = {
    "the port of {} takes nothing",  # a thread reads there meanwhile: see virt/test_ports.py
    "the backup of {} cannot be ended",  # the test host makes none: see virt/test_backups.py
}

_NETWORK = "<network><name>n</name><bridge name='b'/><ip address='10.9.9.1' prefix='24'/></network>"
_POOL = "<pool type='dir'><name>p</name><target><path>/p</path></target></pool>"
_VOLUME = "<volume><name>{}</name><capacity>1000</capacity></volume>"
_DOMAIN = "<domain type='test'><name>d</name><memory>8192</memory><os><type>hvm</type></os></domain>"


def machine(host: VirtHost) -> Machine:
    """The one of the test host."""
    return find_machine([host], "test")


def backed_up(host: VirtHost) -> None:
    """Its backup, which the test host does not make."""
    with backups.backup(machine(host), [], Path("/tmp")):
        pass


def spoken_to(host: VirtHost) -> None:
    """Its port, which it has not."""
    with ports.opened(host, "test", "p"):
        pass


WORKS: Final[list[Callable[[VirtHost], object]]] = [
    lambda host: volumes.pool_state(host, "p"),
    lambda host: volumes.define_pool(host, "q", _POOL.replace(">p<", ">q<")),
    lambda host: volumes.start_pool(host, "p"),
    lambda host: volumes.remove_pool(host, "p"),
    lambda host: volumes.names(host, "p"),
    lambda host: volumes.make(host, "p", "w", _VOLUME.format("w")),
    lambda host: volumes.path(host, "p", "v"),
    lambda host: volumes.fill(host, "p", "v", io.BytesIO(b"1")),
    lambda host: volumes.content(host, "p", "v", 10),
    lambda host: volumes.remove(host, "p", "v"),
    networks.all_networks,
    lambda host: networks.uuid_of(host, "n"),
    lambda host: networks.is_up(host, "n"),
    lambda host: networks.define(host, "m", _NETWORK.replace(">n<", ">m<").replace("'b'", "'c'")),
    lambda host: networks.start(host, "n"),
    lambda host: networks.remove(host, "n"),
    lambda host: list(networks.subnets(host, ())),
    lambda host: networks.bridge_owner(host, "b"),
    lambda host: networks.users(host, "n", ""),
    definitions.facts,
    definitions.kinds,
    lambda host: definitions.defined(host, "test"),
    lambda host: list(definitions.marked(host)),
    lambda host: definitions.define(host, "d", _DOMAIN),
    lambda host: definitions.mark(host, "test", "<a/>"),
    lambda host: definitions.start(host, "test"),
    lambda host: definitions.stop(host, "test", 0.0),
    lambda host: definitions.forget(host, "test"),
    spoken_to,
    lambda host: links.read_links(host, UUID),
    lambda host: links.set_links(host, UUID, {}),
    lambda host: channels.plug(host, UUID),
    lambda host: channels.unplug(host, UUID),
    domains.vms,
    lambda host: domains.vm_of(host, UUID),
    domains.host_uuid,
    domains.host_name,
    lambda host: finding.find([host], "test"),
    lambda host: machine(host).vm(),
    lambda host: machine(host).running_as(),
    lambda host: machine(host).has_saved_memory(),
    lambda host: machine(host).disks(),
    backed_up,
    lambda host: checkpoints.own_checkpoints(machine(host)),
    lambda host: checkpoints.delete_checkpoint(machine(host), "c"),
    lambda host: snapshots.make_snapshot(host, UUID, "s"),
    lambda host: events.open_followed(host.uri, lambda _: None).close(),
]


@contextmanager
def prepared(directory: Path) -> Iterator[VirtHost]:
    """A test host with a network, and a pool with a volume; who uses it may close it."""
    host = VirtHost.open(own_test_host(directory))
    host.connection.networkCreateXML(_NETWORK)
    host.connection.storagePoolCreateXML(_POOL).createXML(_VOLUME.format("v"))
    yield host
    with suppress(libvirt.libvirtError):
        host.close()


def sentences() -> Iterator[str]:
    """What stands in `told(...)`, with {} for what differs."""
    for path in sorted(VIRT.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "told":
                what = node.args[0]
                parts = what.values if isinstance(what, ast.JoinedStr) else [what]
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def is_heard(sentence: str, heard: Iterable[str]) -> bool:
    """Whether anything begins with it, and libvirt's reason is behind it."""
    pattern = ".+".join(map(re.escape, sentence.split("{}"))) + ": ."
    return any(re.match(pattern, said) for said in heard)


def test_each_sentence_is_heard_where_libvirt_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call fails comes out as a sentence of ours, with libvirt's reason, and nothing else does."""
    heard: list[str] = []
    for work in WORKS:
        for number in range(1, MOST):
            calls = Calls(number)
            with prepared(tmp_path) as real:
                host = calls.host(real)
                monkeypatch.setattr(VirtHost, "open", lambda _uri, host=host: host)
                heard.append(complaint(lambda: work(host)))  # noqa: B023  # called at once
                monkeypatch.undo()
            if not calls.failed:
                break
        assert number < MOST - 1
    assert [each for each in heard if "\n" in each] == []
    assert {each for each in sentences() if not is_heard(each, heard)} == LEFT
