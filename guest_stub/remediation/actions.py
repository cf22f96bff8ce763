"""Carries out what a policy says is to be done about a detection."""

from guest_stub.remediation.done import Action, Done, Result
from guest_stub.remediation.facts import Judged
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.remediation.sealing import judged_path


def carry_out(action: Action, fd: int, judged: Judged, quarantine: Quarantine) -> Done:
    """Do it to the file of a descriptor that is open for reading; what became of the file.

    Blocks, for as long as it takes to read the file: call it in a thread, after the event was answered.
    BLOCK is the answer itself, which is the caller's.
    """
    if action is Action.QUARANTINE:
        return quarantine.take(fd, judged)
    if action is Action.DELETE:
        return quarantine.delete(fd, judged)
    return Done(Result.LEFT, judged_path(fd, judged))
