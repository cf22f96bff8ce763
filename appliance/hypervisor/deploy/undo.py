"""What was made is taken back when a later step fails: the last first."""

from collections.abc import Callable

from appliance.hypervisor.virt.connection import VirtError


class Undo:
    """Steps back, each with what it takes back, such as "network kvmla-host"."""

    def __init__(self, ready: Callable[[], object] = lambda: None) -> None:
        """ready: called before all is taken back; what it raises, a VirtError, is why nothing can be."""
        self._ready = ready
        self._steps: list[tuple[str, Callable[[], None]]] = []

    def add(self, what: str, step: Callable[[], None]) -> None:
        """Remember a step back; called before the step that it undoes, which may break off in its middle."""
        self._steps.append((what, step))

    def keep(self) -> None:
        """All is well, or is to stay as it is: nothing is taken back."""
        self._steps.clear()

    def run(self) -> list[str]:
        """Take all back; sentences of what could not be, one for each reason."""
        if not self._steps:
            return []
        try:
            self._ready()
        except VirtError as error:
            return [str(error)]
        problems = dict[str, list[str]]()
        while self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except VirtError as error:
                problems.setdefault(str(error), []).append(what)
        return [f"{', '.join(whats)}: {reason}" for reason, whats in problems.items()]
