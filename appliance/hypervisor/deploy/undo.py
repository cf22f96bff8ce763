"""What was made is taken back when a later step fails: the last first."""

from collections.abc import Callable

from appliance.hypervisor.virt.connection import VirtError


class Undo:
    """Steps back, each with what it takes back, such as "network kvmla-host"."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], None]]] = []

    def add(self, what: str, step: Callable[[], None]) -> None:
        """Remember a step back; called before the step that it undoes, which may break off in its middle."""
        self._steps.append((what, step))

    def keep(self) -> None:
        """All is well, or is to stay as it is: nothing is taken back."""
        self._steps.clear()

    def run(self) -> list[str]:
        """Take all back; sentences of what could not be."""
        problems = []
        while self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except VirtError as error:
                problems.append(f"{what}: {error}")
        return problems
