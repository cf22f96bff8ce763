"""The engines, one row each, in the order in which they look: the cheapest first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.config import EngineSettings
from appliance.scanning.engines import clamd, eicar, hashlist, yara
from appliance.scanning.engines.engine import Engine, EngineBuild

Sections = Mapping[str, memoryview]


@dataclass(frozen=True, slots=True)
class EngineRow:
    """How an engine comes to be.

    build: reads and packs its signatures, in the process that builds; None where the engine has none
    of its own. load: makes the engine from the sections of that build, in a process that scans.
    """

    name: str
    enabled: Callable[[EngineSettings], bool]
    build: Callable[[EngineSettings], EngineBuild] | None
    load: Callable[[Sections, EngineSettings], Engine]


ENGINES = (
    EngineRow(
        eicar.NAME,
        lambda settings: settings.eicar.enabled,
        eicar.build,
        lambda _sections, _settings: eicar.EicarEngine(),
    ),
    EngineRow(
        hashlist.NAME,
        lambda settings: settings.hashlist.enabled,
        hashlist.build,
        lambda sections, _settings: hashlist.HashlistEngine(sections),
    ),
    EngineRow(
        yara.NAME,
        lambda settings: settings.yara.enabled,
        yara.build,
        lambda sections, settings: yara.YaraEngine(sections, settings.yara),
    ),
    EngineRow(
        clamd.NAME,
        lambda settings: settings.clamd.enabled,
        None,
        lambda _sections, settings: clamd.ClamdEngine(settings.clamd.socket, settings.clamd.timeout_seconds),
    ),
)
