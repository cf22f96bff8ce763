"""What every check of the crash test raises."""


class Broken(Exception):
    """A promise was broken; the message says which."""
