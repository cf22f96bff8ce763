"""What is known of a file's content before an engine looks at it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContentLabel:
    """The digest that the SVM computed itself, the size in bytes, and the guest's name for the file.

    name: last part of the path, a label; at most 255 bytes, may be empty. A guest chooses it: rules are
    told it where the administrator trusts all guests (engines.yara.trust_file_names).
    """

    sha256: bytes
    size: int
    name: bytes = b""
