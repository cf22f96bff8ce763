"""What a worker that was taken over can do: a probe engine in a real one, confined as in production.

`test_sandbox` looks at the walls before and after the worker confines itself; here the worker has done its
order and is given contents by a real pool, which it attacks from within an engine.
"""

import asyncio
import fcntl
import json
import os
import platform
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.config import ScanningSettings, UnpackLimits
from appliance.domain.outcome import Unanswered
from appliance.scanning.builder import worker_launch
from appliance.scanning.crew import Crew, CrewPlan
from appliance.scanning.pool import Pool
from appliance.scanning.result import ScanResult
from appliance.scanning.sandbox import Sandbox
from tests.support import probe_worker
from tests.support.descriptors import open_descriptors
from tests.support.scanning import (
    DEADLINE,
    EICAR_ONLY,
    content,
    descendants,
    sandbox,
    scanned,
    worker_runtime,
)

ROOT = Path(__file__).parents[2]
PROBE = Path(probe_worker.__file__)
SETTINGS = ScanningSettings(workers=1, worker_memory_mib=256, scan_timeout_seconds=20, unpack=UnpackLimits())
REFUSED = "EPERM"  # what the filter of system calls answers

on_x86_64 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="system calls are made by their numbers on x86-64"
)


def probe_sandbox() -> Sandbox:
    """The sandbox of real workers, which shows them the probe's program as well."""
    runtime = worker_runtime()
    command = (*runtime.command[: runtime.command.index("-m")], str(PROBE))
    return replace(sandbox(), runtime=replace(runtime, command=command, paths=(*runtime.paths, PROBE)))


@asynccontextmanager
async def probing(settings: ScanningSettings = SETTINGS) -> AsyncIterator[Pool]:
    """A pool with one worker that has the probe for an engine; nothing is left over afterwards."""
    before = open_descriptors()
    pool = Pool(settings, time.monotonic)
    bundle = os.memfd_create("bundle")
    launch = worker_launch(probe_sandbox(), settings, EICAR_ONLY, bundle)
    crew = Crew(CrewPlan(launch, 1, time.monotonic), pool)
    try:
        await asyncio.wait_for(crew.start(), DEADLINE)
        assert crew.filtered
        pool.use(crew)
        yield pool
    finally:
        await pool.close()
    assert not descendants()
    assert open_descriptors() <= before


async def run(pool: Pool, code: str, **values: object) -> ScanResult:
    """Have the probe run `code`, with `values` by their names."""
    program = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + code
    result = await scanned(pool, program.encode())
    assert isinstance(result, ScanResult)
    return result


async def said_by(pool: Pool, code: str, **values: object) -> Any:
    """What the probe says of what it did."""
    result = await run(pool, code, **values)
    assert result.no_answer is None, result.no_answer
    return json.loads(result.detections[0].threat)


async def from_inside(code: str, **values: object) -> Any:
    """The same, of a pool of its own."""
    async with probing() as pool:
        return await said_by(pool, code, **values)


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A unix socket that others listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        yield listener


# -- network -------------------------------------------------------------------------------------


FAMILIES = {
    name: int(getattr(socket, name))
    for name in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG", "AF_CAN")
}


@pytest.fixture(scope="module")
def sockets() -> dict[str, list[str]]:
    """What a worker is told that wants a socket of a family, by the family's name."""
    code = """
kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
said = {
    name: sorted({attempt(lambda: socket.socket(family, kind)) for kind in kinds})
    for name, family in families.items()
}
"""
    said: dict[str, list[str]] = asyncio.run(from_inside(code, families=FAMILIES))
    return said


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_worker_gets_no_socket_of_a_network(sockets: dict[str, list[str]], family: str) -> None:
    """Of whatever kind: only local ones, which is how clamd is asked."""
    assert sockets[family] == [REFUSED]


async def test_a_worker_gets_no_socket_of_any_other_family() -> None:
    """Those that the kernel has no name for in Python are tried by number."""
    assert await from_inside(
        "said = sorted({attempt(lambda: socket.socket(family, 1, 0)) for family in range(2, 256)})"
    ) == [REFUSED]


async def test_a_worker_reaches_no_local_socket_of_this_machine(tmp_path: Path) -> None:
    """Neither by its path, which is not there, nor by an abstract name, whose namespace is another."""
    path, name = tmp_path / "open", b"\0kvmla-probe-" + os.urandom(8).hex().encode()
    with listening(path), socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        said = await from_inside(
            "said = [attempt(lambda: socket.socket(socket.AF_UNIX).connect(each)) for each in places]",
            places=[str(path), name, "/run/dbus/system_bus_socket", "/run/systemd/notify"],
        )
    assert said == ["ENOENT", "ECONNREFUSED", "ENOENT", "ENOENT"]


# -- files ---------------------------------------------------------------------------------------


async def test_a_worker_reads_no_file_of_this_machine(tmp_path: Path) -> None:
    """Neither passwords nor the SVM's state, by path, by a link, or up through a descriptor."""
    secret = tmp_path / "state.lmdb"
    secret.write_text("secret")
    secret.chmod(0o644)
    said = await from_inside(
        "said = [attempt(lambda: open(path).read()) for path in paths]",
        paths=[
            "/etc/shadow",
            "/etc/passwd",
            "/etc/hostname",
            str(secret),
            f"/proc/self/root{secret}",
            f"/proc/1/root{secret}",
            f"/proc/self/cwd/../../..{secret}",
            "/root/.ssh/id_rsa",
            f"{ROOT}/pyproject.toml",
            "/dev/mem",
            "/dev/kvm",
            "/proc/kcore",
        ],
    )
    assert set(said) <= {"ENOENT", "EACCES", "EPERM"}, said


async def test_a_worker_writes_no_file_anywhere() -> None:
    """Every directory that it can see refuses a new file, and no file that it can see opens for writing."""
    said = await from_inside("""
tried, made, opened = 0, [], []
for top, directories, files in os.walk("/"):
    if top.startswith("/proc/") and top.count("/") > 2:
        directories.clear()
        continue
    tried += 1
    if attempt(lambda: os.open(os.path.join(top, "x"), os.O_CREAT | os.O_WRONLY | os.O_EXCL)) == "done":
        made.append(top)
    for name in files[:20]:
        path = os.path.join(top, name)
        if not os.path.islink(path) and attempt(lambda: os.open(path, os.O_WRONLY)) == "done":
            opened.append(path)
said = [tried > 100, made[:5], sorted(opened)[:8]]
""")
    # Devices that hold nothing, and the worker's own knobs, which the kernel shows to its owner only.
    harmless = {"/dev/null", "/dev/zero", "/dev/urandom"}
    assert said[:2] == [True, []]
    assert set(said[2]) <= harmless, said


async def test_a_worker_makes_no_device_link_or_directory() -> None:
    """Nor a name for what it holds already."""
    said = await from_inside("""
said = [
    attempt(lambda: os.mkdir("/x")),
    attempt(lambda: os.symlink("/etc", "/dev/x")),
    attempt(lambda: os.mknod("/dev/x", 0o60600, os.makedev(8, 0))),
    attempt(lambda: os.link("/proc/self/fd/%d" % content, "/x", follow_symlinks=True)),
    attempt(lambda: os.open("/", os.O_TMPFILE | os.O_RDWR)),
    attempt(lambda: os.chmod("/", 0o777)),
    attempt(lambda: os.chroot("/")),
]
""")
    assert set(said) <= {"EROFS", "EPERM", "EXDEV", "EOPNOTSUPP", "EACCES"}, said


async def test_a_worker_cannot_change_the_content_that_others_read() -> None:
    """A sealed content is not written, grown or cut by who looks at it."""
    code = b"""
said = [
    attempt(lambda: os.pwrite(content, b"x", 0)),
    attempt(lambda: os.ftruncate(content, 0)),
    attempt(lambda: os.ftruncate(content, 1 << 20)),
]
"""
    async with probing() as pool:
        with content(code) as (_, label):
            fd = os.memfd_create("content", os.MFD_ALLOW_SEALING)
            os.write(fd, code)
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            try:
                result = await asyncio.wait_for(pool.scan(fd, label), DEADLINE)
            finally:
                os.close(fd)
    assert json.loads(result.detections[0].threat) == ["EPERM", "EPERM", "EPERM"]


# -- processes -----------------------------------------------------------------------------------


@on_x86_64
async def test_a_worker_starts_no_process() -> None:
    """Neither by fork, vfork, clone or clone3, nor by becoming another program."""
    said = await from_inside("""
path = sys.executable.encode()
said = [
    attempt(os.fork),
    attempt(lambda: call(57)),
    attempt(lambda: call(58)),
    attempt(lambda: call(56, 17, 0, 0, 0, 0)),
    attempt(lambda: call(435, bytes(88), 88)),
    attempt(lambda: os.execv(sys.executable, ["x"])),
    attempt(lambda: call(322, content, b"", 0, 0, 0x1000)),
    attempt(lambda: os.posix_spawn(sys.executable, ["x"], {})),
]
""")
    assert said == [REFUSED, REFUSED, REFUSED, REFUSED, "ENOSYS", REFUSED, REFUSED, REFUSED]


async def test_a_worker_starts_no_thread() -> None:
    """Engines have theirs before the first content; a bound of processes is none for a service of root."""
    said = await from_inside("""
import threading
gate, started, refused = threading.Event(), [], ""
threading.stack_size(64 * 1024)
for _ in range(200):
    try:
        thread = threading.Thread(target=gate.wait, daemon=True)
        thread.start()
        started.append(thread)
    except RuntimeError as error:
        refused = str(error)
        break
gate.set()
for thread in started:
    thread.join()
said = [len(started), refused]
""")
    assert said == [0, "can't start new thread"]


@on_x86_64
async def test_a_worker_gets_no_new_namespace() -> None:
    """By unshare, setns or clone: of users, mounts, processes, networks, or any other kind."""
    said = await from_inside("""
kinds = (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000)
own = os.open("/proc/self/ns/user", os.O_RDONLY)
said = sorted(
    {attempt(lambda: call(272, kind)) for kind in kinds}
    | {attempt(lambda: call(56, kind | 17, 0, 0, 0, 0)) for kind in kinds}
    | {attempt(lambda: call(308, own, 0))}
)
""")
    assert said == [REFUSED]


# -- other processes -----------------------------------------------------------------------------


@on_x86_64
async def test_a_worker_traces_and_reads_no_process() -> None:
    """Not the front, nor bubblewrap, nor itself: ptrace, process_vm_readv and _writev, kcmp."""
    said = await from_inside(
        """
said = sorted({attempt(lambda: call(number, *rest)) for pid in (parent, 1, os.getpid()) for number, *rest in (
    (101, 16, pid, 0, 0),
    (101, 0x4206, pid, 0, 0),
    (101, 0, 0, 0, 0),
    (310, pid, 0, 0, 0, 0, 0),
    (311, pid, 0, 0, 0, 0, 0),
    (312, pid, pid, 0, 0, 0),
)})
""",
        parent=os.getpid(),
    )
    assert said == [REFUSED]


@on_x86_64
async def test_a_worker_signals_no_other_process() -> None:
    """The front is not in its world, by its number, its group, a thread, or a descriptor of it."""
    said = await from_inside(
        """
said = [
    attempt(lambda: os.kill(parent, 0)),
    attempt(lambda: os.killpg(parent, 0)),
    attempt(lambda: call(200, parent, 0)),
    attempt(lambda: call(234, parent, parent, 0)),
    attempt(lambda: os.pidfd_open(parent)),
    attempt(lambda: os.kill(os.getppid() or parent, 0)),
    attempt(lambda: os.kill(-1, 0)),
]
""",
        parent=os.getpid(),
    )
    assert set(said) == {"ESRCH"}, said


@on_x86_64
async def test_a_worker_lowers_nothing_of_another_process() -> None:
    """Priorities, limits and processors of the front are out of reach."""
    said = await from_inside(
        """
said = [
    attempt(lambda: os.setpriority(os.PRIO_PROCESS, parent, 19)),
    attempt(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (1, 1))),
    attempt(lambda: os.sched_setaffinity(parent, {0})),
    attempt(lambda: os.nice(-1)),
]
""",
        parent=os.getpid(),
    )
    assert set(said) <= {"ESRCH", "EPERM", "EACCES"}, said


# -- the parent's descriptors --------------------------------------------------------------------


async def test_a_worker_has_no_descriptor_but_its_own() -> None:
    """Its socket, what goes to nothing, its words, and the content; none of the front came along."""
    said = await from_inside("""
said = {}
for name in os.listdir("/proc/self/fd"):
    try:
        said[name] = os.readlink("/proc/self/fd/" + name).split(":")[0].split(" ")[0]
    except FileNotFoundError:  # that of the listing
        pass
said = [said.pop("0"), said.pop("1"), said.pop("2"), sorted(said.values())]
""")
    assert said == ["socket", "/dev/null", "pipe", ["/memfd"]]


@on_x86_64
async def test_a_worker_takes_no_descriptor_of_the_front() -> None:
    """By /proc there is no such process, pidfd_getfd is refused, and so is the way by a handle of a file."""
    said = await from_inside(
        """
own = os.pidfd_open(os.getpid())
said = [
    attempt(lambda: os.listdir("/proc/%d/fd" % parent)),
    attempt(lambda: os.open("/proc/%d/fd/0" % parent, os.O_RDONLY)),
    attempt(lambda: os.open("/proc/%d/mem" % parent, os.O_RDWR)),
    attempt(lambda: call(438, own, 0, 0)),
    attempt(lambda: call(303, -100, b"/", bytes(128), bytes(8), 0)),
    attempt(lambda: call(304, front, bytes(128), 0)),
]
""",
        parent=os.getpid(),
    )
    assert said == ["ENOENT", "ENOENT", "ENOENT", REFUSED, REFUSED, REFUSED]


async def test_a_worker_hands_no_descriptor_to_the_front() -> None:
    """What it sends along with an answer is in no table of the front's, and the front goes on."""
    async with probing() as pool:
        result = await run(
            pool,
            """
held = [os.memfd_create("gift") for _ in range(20)]
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("20i", *held))
socket.socket(fileno=os.dup(front)).sendmsg([b"?"], [rights])
time.sleep(60)
""",
        )
        assert not [fd for fd in os.listdir("/proc/self/fd") if "gift" in _link(fd)]
        assert result.no_answer is not None
        assert result.no_answer.why is Unanswered.ENGINE_ERROR
        assert await said_by(pool, "said = 'served again'") == "served again"


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


async def test_a_worker_that_lies_about_another_job_is_ended() -> None:
    """An answer to a job that it was not given ends it; nobody is told what it made up."""
    async with probing() as pool:
        result = await run(
            pool,
            "socket.socket(fileno=os.dup(front)).send(struct.pack('<BQI', 1, 1 << 60, 0))\ntime.sleep(60)",
        )
        assert result.no_answer is not None
        assert result.no_answer.why is Unanswered.ENGINE_ERROR
        assert await said_by(pool, "said = 'served again'") == "served again"


# -- memory and time -----------------------------------------------------------------------------


async def test_a_worker_gets_no_more_memory_than_its_bound() -> None:
    """Of its own, in memory files, and in descriptors; afterwards it works on."""
    async with probing() as pool:
        said = await said_by(
            pool,
            """
def grow():
    held = []
    while True:
        held.append(bytearray(16 << 20))
def fill():
    fd = os.memfd_create("big")
    os.ftruncate(fd, (256 << 20) + 1)
def gather():
    while True:
        os.dup(front)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
said = [attempt(grow), attempt(fill), attempt(gather)]
for fd in range(10, 64):
    attempt(lambda: os.close(fd))
""",
        )
        assert said == ["MemoryError", "EFBIG", "EMFILE"]


async def test_a_worker_raises_none_of_its_bounds() -> None:
    """What it has given up it has given up for good."""
    said = await from_inside("""
names = ("RLIMIT_DATA", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NPROC")
said = []
for name in names:
    what = getattr(resource, name)
    soft, hard = resource.getrlimit(what)
    try:
        resource.setrlimit(what, (soft + 1, hard + 1))
        said.append(name)
    except (ValueError, OSError):
        pass
""")
    assert said == []


async def test_a_worker_that_computes_for_ever_is_ended_in_time() -> None:
    """Whatever signals it ignores; its content has no answer, and the next worker serves."""
    async with probing(replace(SETTINGS, scan_timeout_seconds=1)) as pool:
        result = await run(
            pool,
            """
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    attempt(lambda: signal.signal(number, signal.SIG_IGN))
while True:
    pass
""",
        )
        assert result.no_answer is not None
        assert result.no_answer.why is Unanswered.TIMED_OUT
        assert await said_by(pool, "said = 'served again'") == "served again"


async def test_a_worker_that_crashes_costs_its_content_alone() -> None:
    """It is tried once more, has no answer then, and the next content is served."""
    async with probing() as pool:
        result = await run(pool, "os.kill(os.getpid(), signal.SIGKILL) or os.abort() or ctypes.string_at(0)")
        assert result.no_answer is not None
        assert result.no_answer.why is Unanswered.ENGINE_ERROR
        assert pool.counts["worker_crashes"] == 2
        assert await said_by(pool, "said = 'served again'") == "served again"


# -- the kernel ----------------------------------------------------------------------------------

# Of arch/x86/entry/syscalls/syscall_64.tbl: what engines have no use for and kernels had holes in.
SURFACES = {
    "bpf": (321, 0, 0, 0),
    "keyctl": (250, 0, -3, 1),
    "add_key": (248, 0, 0, 0, 0, -3),
    "request_key": (249, 0, 0, 0, -3),
    "io_uring_setup": (425, 8, 0),
    "userfaultfd": (323, 0x800),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "mount": (165, 0, 0, 0, 4096, 0),
    "umount2": (166, 0, 0),
    "pivot_root": (155, 0, 0),
    "fsopen": (430, 0, 0),
    "open_tree": (428, -100, 0, 1),
    "move_mount": (429, -100, 0, -100, 0, 0),
    "mount_setattr": (442, -100, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "finit_module": (313, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "personality": (135, 0x0040000),
    "chroot": (161, 0),
    "swapon": (167, 0, 0),
    "reboot": (169, 0, 0, 0, 0),
    "acct": (163, 0),
    "quotactl": (179, 0, 0, 0, 0),
    "iopl": (172, 3),
    "ioperm": (173, 0, 1, 1),
    "settimeofday": (164, 0, 0),
    "sethostname": (170, 0, 0),
    "syslog": (103, 3, 0, 0),
    "fanotify_init": (300, 0, 0),
    "modify_ldt": (154, 1, 0, 16),
    "vmsplice": (278, 0, 0, 0, 0),
    "splice": (275, 0, 0, 1, 0, 0, 0),
    "tee": (276, 0, 1, 0, 0),
    "io_setup": (206, 1, 0),
    "remap_file_pages": (216, 0, 0, 0, 0, 0),
    "migrate_pages": (256, 0, 0, 0, 0),
    "move_pages": (279, 0, 0, 0, 0, 0, 0),
    "mbind": (237, 0, 0, 0, 0, 0, 0),
    "memfd_secret": (447, 0),
    "uselib": (134, 0),
}


@pytest.fixture(scope="module")
def surfaces() -> dict[str, str]:
    """What a worker is told of each, all tried by one."""

    async def tried() -> dict[str, str]:
        async with probing() as pool:
            return {
                name: await said_by(pool, "said = attempt(lambda: call(*arguments))", arguments=arguments)
                for name, arguments in SURFACES.items()
            }

    return asyncio.run(tried())


@on_x86_64
@pytest.mark.parametrize("name", sorted(SURFACES))
def test_a_worker_finds_a_surface_of_the_kernel_closed(surfaces: dict[str, str], name: str) -> None:
    """The call is refused, before the kernel looks at what comes with it."""
    assert surfaces[name] == REFUSED
