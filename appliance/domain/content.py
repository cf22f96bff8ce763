"""What is known of a file's content before an engine looks at it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContentLabel:
    """The digest that the SVM computed itself, the size in bytes, and the guest's name for the file.

    name: last part of the path, a label; at most 255 bytes, may be empty. A guest chooses it: rules are
    told it where the administrator trusts all guests (engines.yara.trust_file_names). scope: whose part of
    the cache it is scanned for; engines are not told.
    """

    sha256: bytes
    size: int
    name: bytes = b""
    scope: int = 0

    @property
    def key(self) -> tuple[int, bytes]:
        """What is remembered of it is remembered under this: scope and digest."""
        return self.scope, self.sha256
