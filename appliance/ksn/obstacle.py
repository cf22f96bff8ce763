"""What is in the way of something that is done all the time: looked at, and told when it comes and goes."""

from collections.abc import Callable


class Obstacle:
    """sentence: what is in the way, for people, "" for nothing.

    on_change: told that sentence when something comes, and "" when all is well again; not while one reason
    follows another.
    """

    def __init__(self) -> None:
        self.sentence = ""
        self.on_change: Callable[[str], None] = lambda _sentence: None

    def is_now(self, sentence: str) -> None:
        """Say what is in the way now, "" for nothing."""
        before, self.sentence = self.sentence, sentence
        if bool(before) != bool(sentence):
            self.on_change(sentence)
