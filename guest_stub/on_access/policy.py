"""What is to become of an event: pure functions of the policy. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from guest_stub.outcome import DETECTIONS, Outcome
from guest_stub.remediation.done import Action


class Mode(StrEnum):
    """What waits for a verdict."""

    BLOCK_OPEN = "block-open"  # every open of a file
    BLOCK_EXEC = "block-exec"  # the start of a program or script; what is written is looked at afterwards
    NOTIFY = "notify"  # nothing: all is looked at afterwards


class Operation(StrEnum):
    """What a process wants to do."""

    OPEN = "open"
    EXEC = "exec"


class FailMode(StrEnum):
    """What an event is answered with that has no verdict in time."""

    ALLOW = "allow"
    DENY = "deny"


class Reply(StrEnum):
    """What the kernel is told."""

    ALLOW = "allow"
    DENY = "deny"
    FALL_BACK = "fall back"  # by the fail mode


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """How files are protected as they are opened.

    budgets: seconds that a process may wait for a verdict. fail: what it gets when that is over, or when no
    verdict can be had. fail_mounts: instead, below these absolute paths. block_suspicious: whether adware
    and the like are acted on too. stale_grace: seconds for which a file that was looked at with earlier
    signatures is let through while it is looked at anew. action: what is done with what was detected.
    """

    mode: Mode = Mode.BLOCK_OPEN
    budgets: Mapping[Operation, float] = field(
        default_factory=lambda: {Operation.OPEN: 10.0, Operation.EXEC: 20.0}
    )
    fail: Mapping[Operation, FailMode] = field(
        default_factory=lambda: {Operation.OPEN: FailMode.ALLOW, Operation.EXEC: FailMode.ALLOW}
    )
    fail_mounts: Mapping[str, FailMode] = field(default_factory=dict)
    block_suspicious: bool = False
    stale_grace: float = 300.0
    action: Action = Action.BLOCK

    def budget(self, operation: Operation) -> float:
        """How many seconds a process may wait."""
        return self.budgets[operation]

    def fallback(self, operation: Operation, path: str, outcome: Outcome = Outcome.NO_SVM) -> FailMode:
        """What a process gets without a verdict; the longest of `fail_mounts` above the path counts.

        path: "" where it cannot be told, which anybody may bring about: then the strictest of all counts.
        outcome: in place of a verdict. No program is started whose content changes each time that it is read:
        whoever may write to it brings that about at will, and nobody else does.
        """
        if outcome is Outcome.CHANGED and operation is Operation.EXEC:
            return FailMode.DENY
        if not path:
            return FailMode.DENY if FailMode.DENY in self._modes(operation) else FailMode.ALLOW
        above = [mount for mount in self.fail_mounts if _is_below(path, mount)]
        return self.fail_mounts[max(above, key=len)] if above else self.fail[operation]

    def _modes(self, operation: Operation) -> frozenset[FailMode]:
        return frozenset({self.fail[operation], *self.fail_mounts.values()})

    def reply(self, outcome: Outcome) -> Reply:
        """What an outcome comes to for the process that waits."""
        if outcome in DETECTIONS:
            blocks = self.acts_on(outcome) and self.action is not Action.REPORT
            return Reply.DENY if blocks else Reply.ALLOW
        return Reply.ALLOW if outcome in _LET_THROUGH else Reply.FALL_BACK

    def acts_on(self, outcome: Outcome) -> bool:
        """Whether something is done with a file of which this was found out."""
        return outcome is Outcome.MALICIOUS or (outcome is Outcome.SUSPICIOUS and self.block_suspicious)


# Beside the good verdicts: what nobody can look into, now or later, is reported and not in the way.
_LET_THROUGH = frozenset({Outcome.CLEAN, Outcome.NOT_DETECTED, Outcome.TOO_LARGE, Outcome.ENCRYPTED})


def _is_below(path: str, mount: str) -> bool:
    return mount in ("/", path) or path.startswith(f"{mount}/")
