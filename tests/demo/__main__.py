"""The story: one SVM and its Private KSN, five guests, one tree, each content scanned once."""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from appliance.rpc.admin_client import AdminClient, AdminError
from tests.demo import reputation
from tests.demo.claims import Claim, Expected, claims
from tests.demo.disclosed import Ledger, read_ledger, shown
from tests.demo.programs import Guest, ProgramFailed, Svm
from tests.demo.progress import Progress, megabytes
from tests.demo.stock import Stock, take_stock
from tests.demo.told import Told, table, told
from tests.demo.tree import choose
from tests.demo.wrappings import plant

GUESTS = 5
FILES = 12_000
POLL_SECONDS = 0.5
DEADLINE_SECONDS = 1800.0


def main() -> int:
    """Run the demo: 0 when every claim holds, 1 when not, 2 when it could not be shown."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help=f"at least so many files ({FILES})")
    parser.add_argument("--tree", type=Path, help="scan this directory instead of parts of the system")
    options = parser.parse_args()
    directories = choose(options.files) if options.tree is None else [options.tree.resolve()]
    try:
        # Under /tmp and not under TMPDIR: the path of a socket has at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix="kvmla-demo-", dir="/tmp") as directory:
            return show(Path(directory), directories)
    except (ProgramFailed, AdminError) as error:
        print(f"\nThe demo cannot go on: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; everything that was started has been ended.", file=sys.stderr)
        return 130


def show(directory: Path, directories: Sequence[Path]) -> int:
    """Plant what is to be found beside the directories, run the programs, print what came of it."""
    planted_in = directory / "planted"
    planted_in.mkdir()
    planted = plant(planted_in)
    alone = reputation.plant(planted_in)
    tree = [planted_in, *directories]
    print(
        f"The tree: {len(tree) - 1} directories of this machine, EICAR in {len(planted)} wrappings, "
        "and a file that KSN alone knows."
    )
    stock = take_stock(tree)
    print(
        f"  {len(stock.files):,} files, {megabytes(stock.file_bytes)}; "
        f"{len(stock.contents):,} different contents, {megabytes(stock.unique_bytes)}\n"
    )
    known = stock.files[str(alone)]
    ksn = reputation.PrivateKsn(directory / "private-ksn")
    reputation.write_feed(directory / "feed.txt", [known])
    print(f"private-ksn import: {ksn.take_in(directory / 'feed.txt')}")
    with ksn, Svm(directory, ksn) as svm, AdminClient(svm.admin) as admin:
        engines = ", ".join(engine.name for engine in admin.status().engines if engine.ready)
        print(f"svm serve is ready, with its embedded defaults and this Private KSN; engines: {engines}.")
        version = admin.ksn_status("default").participation.statement_in_force
        svm.accept_statement(version)
        print(f"svm policy create default --ksn accept --statement {version}: its guests take part in KSN.")
        print(f"{GUESTS} guests start together, each a process with a state of its own:")
        reports = scan(svm, admin, tree, stock, directory)
        figures = dict(admin.status().figures)
    engine_bytes = int(figures["engine_bytes"])
    print("\n" + "\n".join(table(reports)))
    print(f"  unique bytes {stock.unique_bytes:,}; given to engines {engine_bytes:,}\n")
    for path in sorted(frozenset().union(*(guest.found for guest in reports))):
        print(f"  {sum(path in guest.found for guest in reports)} guests found something in {path}")
    ledger = read_ledger(svm.state)
    print(f"\n{_of_ksn(figures, ledger)}")
    for request in ledger.about(known):
        print(f"  {shown(request)}")
    expected = expect(stock, planted, (str(alone), known), reports)
    return judge(claims(reports, expected, engine_bytes, ledger))


def _of_ksn(figures: Mapping[str, float], ledger: Ledger) -> str:
    """What the SVM's counters and its ledger say of KSN."""
    whole = ledger.problem or f"all of {ledger.entries:,} entries as they were written"
    calls = ", ".join(f"{count:,} of {call}" for call, count in sorted(ledger.calls.items()))
    return (
        f"KSN: {figures['ksn_asked']:,.0f} questions, {figures['ksn_known']:,.0f} known there, "
        f"{figures['ksn_unknown']:,.0f} not known there; {figures['ksn_not_worth_asking']:,.0f} not asked, "
        "since everybody knows them or there was no room\n"
        f"svm ksn ledger: {len(ledger.requests):,} requests ({calls}); "
        f"svm ksn ledger verify: {whole}"
    )


def scan(svm: Svm, admin: AdminClient, tree: Sequence[Path], stock: Stock, directory: Path) -> list[Told]:
    """Have the guests scan the tree at the same time, and show how far they are."""
    started = time.monotonic()
    progress = Progress(sys.stdout, len(stock.files))
    reach: dict[str, tuple[int, int]] = {}
    with ExitStack() as stack:
        guests = [Guest(f"guest {number}", svm, directory, tree) for number in range(1, GUESTS + 1)]
        for guest in guests:
            stack.callback(guest.end)
        while True:
            done = [guest.exit_code is not None for guest in guests]
            svm.check()
            for seen in admin.status().guests:
                reach[seen.id] = seen.digests_asked, seen.bytes_uploaded
            elapsed = time.monotonic() - started
            lines = [
                (guest.name, *reach.get(guest.identity, (0, 0)), over)
                for guest, over in zip(guests, done, strict=True)
            ]
            progress.show(lines, elapsed)
            if all(done):
                break
            if elapsed > DEADLINE_SECONDS:
                raise ProgramFailed(f"the guests are not done after {DEADLINE_SECONDS:g} s")
            time.sleep(POLL_SECONDS)
        return [told(guest.name, guest.report()) for guest in guests]


def expect(
    stock: Stock, planted: Sequence[Path], alone: tuple[str, bytes], guests: Sequence[Told]
) -> Expected:
    """What must have come out, by the demo's own look at the tree. alone: the file that KSN alone knows."""
    unanswered = set().union(*(guest.unanswered for guest in guests)) & stock.files.keys()
    lost = stock.bytes_of(sorted(unanswered))
    needed = stock.unique_bytes - lost - stock.contents[alone[1]]
    return Expected(len(stock.files), frozenset(map(str, planted)), alone, needed, lost)


def judge(made: Sequence[Claim]) -> int:
    """Print the claims; 0 when all hold."""
    print()
    for claim in made:
        print(f"  {'holds   ' if claim.holds else 'IS WRONG'}  {claim.sentence}")
    return 0 if all(claim.holds for claim in made) else 1


if __name__ == "__main__":
    sys.exit(main())
