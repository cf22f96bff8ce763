"""Whether everybody else sees files by other mounts than the stub; then paths in the settings say nothing."""

import os
from pathlib import Path

from guest_stub.on_access.settings import AccessSettings

_NAMESPACE = "ns/mnt"


def apart_from_others(settings: AccessSettings, proc: Path = Path("/proc")) -> str:
    """A sentence where settings that go by paths hold for nobody outside of this mount namespace, or ""."""
    named = [name for name in ("exclude", "exclude_programs", "on_failure_below") if getattr(settings, name)]
    if not named:
        return ""
    try:
        ours, theirs = (os.readlink(proc / process / _NAMESPACE) for process in ("self", "1"))
    except OSError:  # it cannot be told
        return ""
    if ours == theirs:
        return ""
    return (
        f"this stub has a mount namespace of its own: {', '.join(named)} hold for nobody outside of it; "
        "start it without: no ProtectSystem, PrivateTmp, ProtectKernelModules and their like in its unit"
    )
