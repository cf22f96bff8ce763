"""`svm-host scan-image` of a qcow2 image: known to the SVM, against the bare library; and the first time."""

import json
import subprocess
from pathlib import Path

from tests.benchmarks.data import sample
from tests.benchmarks.harness import Bench, BenchError, Figure, Rounds, Target
from tests.benchmarks.processes import python
from tests.benchmarks.processes import run as run_command
from tests.benchmarks.svm import Svm

ROUNDS = 5
_ROOM = 1.6  # so many times the bytes of the files, and some
_SOME_BYTES = 64 << 20


def run(bench: Bench) -> list[Figure]:
    """Megabytes of files a second, whole commands."""
    tree = sample(bench.scratch / "tree", 200 if bench.short else 12)
    image = _image(bench.scratch, tree.top, tree.total)
    megabytes = tree.total / 1e6
    with Svm(bench.scratch) as svm:

        def ours() -> float:
            scanning = (
                "-m",
                "appliance.hypervisor",
                "scan-image",
                str(image),
                "--socket",
                svm.admin,
                "--json",
            )
            ended = run_command(python(*scanning), good=(0, 1, 2))
            told = json.loads(ended.output)
            if told["bytes"] != tree.total:
                raise BenchError(f"scan-image read {told['bytes']} of {tree.total} bytes: {ended.errors}")
            return megabytes / ended.seconds

        def theirs() -> float:
            ended = run_command(python("-m", "tests.benchmarks.drivers.bare_image", str(image)))
            if int(ended.output.split()[1]) != tree.total:
                raise BenchError(f"the bare library read {ended.output} of {tree.total} bytes")
            return megabytes / ended.seconds

        first = ours()
        known = bench.alternate(bench.rounds(ROUNDS), ours, theirs)
    about = f"{len(tree.files):,} files, {megabytes:,.0f} MB, ext4 in qcow2"
    return [
        Figure("image-scan", "MB/s", known, Target(0.8, at_least=True), about),
        Figure(
            "image-scan-first",
            "MB/s",
            Rounds((first,)),
            note="the same image, every content sent and scanned",
        ),
    ]


def _image(scratch: Path, tree: Path, size: int) -> Path:
    """A qcow2 image of the tree."""
    raw, image = scratch / "image.raw", scratch / "image.qcow2"
    blocks = (int(size * _ROOM) + _SOME_BYTES) // 1024
    for command in (
        ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(raw), f"{blocks}k"],
        ["qemu-img", "convert", "-O", "qcow2", str(raw), str(image)],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            why = getattr(error, "stderr", "") or error
            raise BenchError(
                f"{command[0]} makes no image ({why}): install e2fsprogs and qemu-utils"
            ) from error
    raw.unlink()
    return image
