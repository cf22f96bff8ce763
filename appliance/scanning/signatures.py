"""Reads all signatures into a bundle, and makes engines from one.

`build` runs in a process of its own, sandboxed like the workers, since it reads the operator's files
and compiles them; `load_engines` runs in each worker; the front process only ever reads the summary.
"""

from appliance.config import EngineSettings
from appliance.scanning.archive import library_version
from appliance.scanning.bundle import Bundle, BundleError, Part, Summary, read_sections
from appliance.scanning.engines.engine import Engine
from appliance.scanning.engines.table import ENGINES

# To be moved on when members are found or named in another way: verdicts made before then count no more.
UNPACKING_VERSION = 3


def build(settings: EngineSettings) -> Bundle:
    """Read and pack the signatures of every engine that is enabled. Bad ones stand in the sources."""
    builds = [row.build(settings) for row in ENGINES if row.build is not None and row.enabled(settings)]
    parts: list[Part] = [(each.engine, each.version, each.content) for each in builds]
    parts.append(("unpacking", library_version(), UNPACKING_VERSION))
    sources = tuple(source for each in builds for source in each.sources)
    sections = {name: data for each in builds for name, data in each.sections.items()}
    return Bundle(Summary(tuple(parts), sources), sections)


def load_engines(fd: int, settings: EngineSettings) -> list[Engine]:
    """Return the engines that are enabled, from the bundle in `fd`, which may be closed afterwards.

    settings: those that the bundle was built with. Raises BundleError where they are not, and where
    `fd` holds no bundle.
    """
    sections = read_sections(fd)
    try:
        return [row.load(sections, settings) for row in ENGINES if row.enabled(settings)]
    except KeyError as missing:
        raise BundleError(f"the bundle lacks {missing}: it was built with other settings") from None
    except OSError as error:
        raise BundleError(f"the bundle holds rules that YARA-X does not read: {error}") from None
