"""`guest-stub status`: whether an SVM answers, what it asks of this guest, what is kept of earlier scans."""

from collections.abc import Callable

from guest_stub.cli.setup import Setup
from guest_stub.decisions import Decisions
from guest_stub.svm_link.link import SvmLink, SvmUnreachable

_SECONDS = 5.0


async def status(setup: Setup, say: Callable[[str], None]) -> int:
    """Say it in lines "name: value"; 0 when the SVM answers, else 2. Raises StateRefused."""
    decisions = Decisions(setup.store)
    try:
        kept = decisions.count()
    finally:
        decisions.close()
    say(f"state: {setup.store.directory}")
    say(f"decisions: {kept:,} files")
    say(f"svm: {setup.svm}")
    try:
        async with await SvmLink.open(setup.target, setup.labels, _SECONDS) as link:
            policy = link.policy
            say("attached: yes")
            say(f"generation: {link.generation:016x}")
            say(f"largest file: {policy.max_file_bytes:,} bytes")
            say(f"largest batch: {policy.max_batch:,} digests")
            return 0
    except SvmUnreachable as problem:
        say(f"attached: no: {problem}")
        return 2
