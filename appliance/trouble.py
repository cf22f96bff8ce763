"""Tells the log when something cannot be written, once, and when it can again."""

from collections.abc import Callable

import structlog

log = structlog.get_logger("svm")


class Trouble:
    """Writes a line when something cannot be written, and one when it can again."""

    def __init__(self, problem: Callable[[], str], begun: str, over: str) -> None:
        """Begin with nothing told. problem: a sentence, "" for none. begun, over: the names of both lines."""
        self._problem = problem
        self._begun = begun
        self._over = over
        self._told = ""

    def tell(self) -> None:
        """Write a line where there is another problem than before, or none now. Call it now and then."""
        problem = self._problem()
        if problem and problem != self._told:
            log.warning(self._begun, why=problem)
        elif self._told and not problem:
            log.info(self._over)
        self._told = problem
