"""Who calls, and in which role: what a connection proves, and never what a request says."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller is to the SVM."""

    GUEST = "guest"  # a virtual machine that is protected
    PROVIDER = "provider"  # runs the SVM; may do everything an administrator may
    TENANT_ADMIN = "tenant-admin"  # of one tenant, and of what is that tenant's
    AUDITOR = "auditor"  # reads, and changes nothing
    HOST_AGENT = "host-agent"  # what runs on the KVM host, beside libvirt
    SVM = "svm"  # a fellow security virtual machine


LOCAL_NAME = "uid-"  # begins the name of a process on a socket, and of nobody else


class NotAdmitted(Exception):
    """Nobody vouches for a caller, or not any more. The message is a sentence for the caller."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller, named by its connection.

    name: as it stands in the audit. tenant: whose things it sees and touches; "" for those of all.
    """

    name: str
    role: Role
    tenant: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def author(self) -> str:
        """Who it is, for the audit: a process of this machine by its name, else by role and tenant too.

        Names are given by whoever issues a certificate, and are unique within a role and a tenant alone.
        """
        if self.name.startswith(LOCAL_NAME):
            return self.name
        return f"{self.role} {self.name}{f' of {self.tenant}' if self.tenant else ''}"

    @property
    def local_user(self) -> str:
        """Which user of this machine's it is a process of, "uid-1000"; "" for a certificate's holder."""
        return self.name.partition(".")[0] if self.name.startswith(LOCAL_NAME) else ""

    def sees(self, tenant: str) -> bool:
        """Whether what belongs to a tenant is the caller's to see."""
        return self.tenant in ("", tenant)
