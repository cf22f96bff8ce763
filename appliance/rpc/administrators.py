"""Which processes on the administration socket are administrators, and of which role: by user and group."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.rpc.tickets import PeerCredentials

_ROOT = 0


@dataclass(frozen=True, slots=True)
class Rank:
    """What a user, or a group, may do. Exactly one of `user` and `group` is set."""

    role: Role
    tenant: str = ""
    user: int | None = None
    group: int | None = None

    def is_of(self, owner: PeerCredentials) -> bool:
        """Whether a process has it."""
        if self.user is not None:
            return owner.uid == self.user
        return self.group == owner.gid or self.group in owner.groups


class Ranks:
    """Who on this machine may administer. root and the SVM's own user may do all that a provider may."""

    def __init__(self, ranks: Sequence[Rank]) -> None:
        """ranks: the first that a process has counts."""
        own = {_ROOT, os.getuid()}
        self._ranks = (*(Rank(Role.PROVIDER, user=uid) for uid in sorted(own)), *ranks)
        self.are_of_others = bool(ranks)

    def __call__(self, owner: PeerCredentials) -> Caller:
        """Who a process is. Raises NotAdmitted."""
        for rank in self._ranks:
            if rank.is_of(owner):
                return Caller(str(owner), rank.role, rank.tenant)
        raise NotAdmitted(self.why_not(owner))

    def why_not(self, owner: PeerCredentials) -> str:
        """Why a process is no administrator; "" where it is one."""
        if any(rank.is_of(owner) for rank in self._ranks):
            return ""
        return (
            f"user {owner.uid} is no administrator of this SVM: run this as root, or have the user or one of "
            "his groups entered under [administrators] of the settings"
        )
