"""A directory of packages as apt reads it: mmdebstrap installs from it exactly what the lock names."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from appliance.hypervisor.image.running import run


def make_repository(directory: Path, files: Sequence[Path], suite: str) -> None:
    """Make one with these .deb files in a directory that is new. Raises ImageError for a file that is none."""
    directory.mkdir(parents=True)
    stanzas = []
    for file in files:
        content = file.read_bytes()
        told = run(["dpkg-deb", "--field", file]).rstrip()
        shutil.copy(file, directory / file.name)
        digest = hashlib.sha256(content).hexdigest()
        stanzas.append(f"{told}\nFilename: ./{file.name}\nSize: {len(content)}\nSHA256: {digest}\n")
    listed = "\n".join(stanzas).encode()
    (directory / "Packages").write_bytes(listed)
    (directory / "Release").write_text(
        f"Suite: {suite}\nCodename: {suite}\nSHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} Packages\n"
    )
