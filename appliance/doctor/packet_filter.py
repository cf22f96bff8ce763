"""Whether the packet filter keeps one address from having a whole door."""

from collections.abc import Callable, Iterator

from appliance.config import Settings
from appliance.doctor.findings import Finding, amiss, note, ok
from appliance.packet_filter.doors import tcp_doors
from appliance.packet_filter.nft import Loaded, PacketFilterError, loaded
from appliance.packet_filter.rules import mark

_WHAT = "packet filter"
_REMEDY = "`systemctl enable --now svm-packet-filter`, or as root `svm packet-filter --config FILE --apply`"
_RESTART = _REMEDY.replace("enable --now", "restart")


def packet_filter_findings(
    settings: Settings, is_root: bool, look: Callable[[], Loaded | None] = loaded
) -> Iterator[Finding]:
    """Nothing is said where all doors are unix sockets. look: gives what is in the kernel."""
    wanted = mark(settings)
    if not wanted:
        return
    if not is_root:
        yield note(_WHAT, "whether it guards the doors only root can see: run this as root")
        return
    try:
        found = look()
    except PacketFilterError as error:
        yield note(_WHAT, f"whether it guards the doors cannot be seen: {error}")
        return
    if found is None:
        why = "nothing keeps one address from opening connections without end, which keeps others out"
        yield note(_WHAT, f"{why}: {_REMEDY}; note it where another firewall does that")
    elif found.mark != wanted:
        yield amiss(_WHAT, f"its rules are of other settings than these: {_RESTART}")
    elif left := sorted({door.name for door in tcp_doors(settings.server)} - found.guarded):
        yield amiss(_WHAT, f"rules of {', '.join(left)} were taken out: {_RESTART}")
    else:
        yield ok(_WHAT, f"guards the doors; {_dropped(found)}")


def _dropped(found: Loaded) -> str:
    counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(found.dropped.items()) if count]
    return f"dropped: {', '.join(counts)}" if counts else "nothing had to be dropped"
