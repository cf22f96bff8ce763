"""What holds for all tests."""

import gc
import signal

from hypothesis import settings

# Before any test loads grpc, which then reads what TLS may be spoken, and whether it is to mind forks.
import appliance.rpc  # noqa: F401
import guest_stub.svm_link  # noqa: F401

# `make test` tries the same examples each time, so that it fails for a change and not by chance;
# `make fuzz` tries others.
settings.register_profile("same-examples", derandomize=True, deadline=None)
settings.register_profile("other-examples", print_blob=True, deadline=None)
settings.load_profile("same-examples")

# A shell without job control has what it starts in the background ignore Ctrl-C, and nohup has it ignore a
# broken session; so would every program that a test starts: ours leave an ignored signal ignored. What is
# handled here is at its default in what is started.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what stays to the end: the tests themselves, and every module.

    There are thousands, and each of the many collections went through them all.
    """
    gc.collect()
    gc.freeze()
