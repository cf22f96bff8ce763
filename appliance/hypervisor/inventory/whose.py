"""Which tenant's a machine is, and whether it is excluded.

What its metadata says counts first, then the file, then the patterns of the settings, which are of names,
then the tenant of all others.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from appliance.domain.policy import TENANT_RULE, is_tenant
from appliance.hypervisor.files import StateUnusable, read_bounded
from appliance.hypervisor.settings import MachinesSettings
from appliance.hypervisor.vm import Vm
from appliance.identity.names import is_uuid

MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Whose:
    """tenant: "" for nobody's. sure: not where the file, which could not be read so far, may say another."""

    tenant: str = ""
    excluded: bool = False
    sure: bool = True


class Owners:
    """Says whose machines are. problem: what is wrong with the file now, "" for nothing."""

    def __init__(self, settings: MachinesSettings) -> None:
        self.problem = ""
        self._settings = settings
        self._patterns = [tuple(entry.split("=", 1)) for entry in settings.tenants]
        self._listed: dict[str, Whose] = {}
        self._stamp: tuple[int, int] | None = None

    def of(self, vm: Vm) -> Whose:
        """Whose a machine is."""
        self._read_file()
        listed = self._listed.get(vm.uuid, Whose())
        if is_tenant(vm.marks.tenant):
            return Whose(vm.marks.tenant, self._is_excluded(vm, listed))
        tenant = listed.tenant or self._by_name(vm.name) or self._settings.tenant
        sure = not self._settings.file or self._stamp is not None
        return Whose(tenant, self._is_excluded(vm, listed), sure)

    def _is_excluded(self, vm: Vm, listed: Whose) -> bool:
        if vm.marks.excluded is not None:
            return vm.marks.excluded
        return listed.excluded or any(fnmatchcase(vm.name, pattern) for pattern in self._settings.exclude)

    def _by_name(self, name: str) -> str:
        return next((tenant for tenant, pattern in self._patterns if fnmatchcase(name, pattern)), "")

    def _read_file(self) -> None:
        """Read the file anew where it has changed; one that cannot be read leaves what was known."""
        if not self._settings.file:
            return
        path = Path(self._settings.file)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp == self._stamp:
                return
            self._listed = read_owners(path)
            self._stamp, self.problem = stamp, ""
        except OSError as error:
            self.problem = f"{path}: {error.strerror}; {self._until_then}"
        except (StateUnusable, BadOwners) as error:
            self.problem = f"{error}; {self._until_then}"

    @property
    def _until_then(self) -> str:
        if self._stamp is None:
            return "no machine enrols by itself but where its metadata says whose it is, until it can be read"
        return "what was known before counts"


class BadOwners(Exception):
    """The file cannot be used. The message says which line, and what is to stand there."""


def read_owners(path: Path) -> dict[str, Whose]:
    """Read a file of lines "UUID TENANT" or "UUID TENANT excluded"; "-" for no tenant, # for a comment.

    Raises StateUnusable, BadOwners.
    """
    found: dict[str, Whose] = {}
    for number, line in enumerate((read_bounded(path, MAX_FILE_BYTES) or "").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        uuid, tenant, *rest = [*words, "-"] if len(words) == 1 else words
        if not is_uuid(uuid) or rest not in ([], ["excluded"]):
            raise BadOwners(f"{path}:{number}: give UUID TENANT, or UUID TENANT excluded")
        if tenant != "-" and not is_tenant(tenant):
            raise BadOwners(f"{path}:{number}: {tenant[:80]!r} is no name of a tenant: {TENANT_RULE}")
        found[uuid] = Whose("" if tenant == "-" else tenant, bool(rest))
    return found
