"""The threads of a scan wait here while it may not look at files."""

from threading import Event, Lock


class Pause:
    """A gate, open until begin(). For any thread; whoever waits in it is no loop."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._open = Event()
        self._open.set()
        self._over = False
        self._lock = Lock()

    @property
    def holds(self) -> bool:
        """Whether a thread that comes by has to wait."""
        return not self._open.is_set()

    def begin(self) -> None:
        """Have all wait who come by, until end()."""
        with self._lock:
            if not self._over:
                self._open.clear()

    def end(self) -> None:
        """Let all go on."""
        self._open.set()

    def lift(self) -> None:
        """Let all go on, and hold nobody any more: the scan ends, and its threads are to see that."""
        with self._lock:
            self._over = True
            self._open.set()

    def wait(self) -> None:
        """Return when nobody is held."""
        self._open.wait()
