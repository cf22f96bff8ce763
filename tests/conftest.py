"""What holds for all tests."""

import signal

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would every program
# that a test starts: `guest-stub` leaves an ignored signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
