"""The program `svm` as a process."""

import os

from tests.support.commands import svm_program


def test_the_process_ends_with_the_exit_code_of_the_command() -> None:
    """What was asked for is on stdout and nothing on stderr."""
    ran = svm_program("--version")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("svm ")


def test_a_wrong_word_is_answered_with_one_line() -> None:
    """What a person can cause never ends in a traceback."""
    ran = svm_program("verdicts", "show", "xyz")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("svm: 'xyz' is not a SHA-256")
    assert ran.err.count("\n") == 1


def test_a_pipe_that_is_closed_early_is_no_error_message() -> None:
    """`svm check-config --json | true` says nothing and ends as a shell expects."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = svm_program("check-config", "--json", stdout=writer)
    os.close(writer)
    assert (ran.code, ran.err) == (141, "")


def test_output_that_cannot_be_written_is_told() -> None:
    """A full disk behind stdout is one line on stderr."""
    with open("/dev/full", "w") as full:
        ran = svm_program("check-config", stdout=full)
    why = "svm: the output: No space left on device; free room where that is written\n"
    assert (ran.code, ran.err) == (2, why)
