"""What SIGTERM and SIGHUP do to a command that takes back what it made."""

import os
import signal
import threading
from contextlib import ExitStack

import pytest

from appliance.hypervisor.cli.interruption import ended_like_by_ctrl_c


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_is_ended_as_by_ctrl_c_and_once_alone(number: signal.Signals) -> None:
    """So that a second one does not break off the taking back; afterwards all is as it was."""
    before = signal.getsignal(number)
    taken_back = []

    def take_back() -> None:
        for again in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), again)
        taken_back.append(True)

    def work() -> None:
        with ended_like_by_ctrl_c(), ExitStack() as stack:
            stack.callback(take_back)
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert taken_back == [True]
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_so() -> None:
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_set() -> None:
    """A handler could not be."""
    done = []

    def work() -> None:
        with ended_like_by_ctrl_c():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert done == [True]
