"""Has root work in a directory as whom it belongs to: the SVM's user, behind whom may be an SVM taken over.

What root makes, opens or gives away by a name in somebody else's directory, he can have replaced by a link to
any file of the machine. Working as him, root can be led only to what is his already.
"""

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Be the directory's owner meanwhile, where this is root's; all of the process is, each thread of it.

    Where the directory is not there, it is the owner of the nearest one above. The real user stays root, so
    the owner can neither look into the process nor signal it. For another user than root nothing changes.
    Raises OSError, which names the directory, where this root may be nobody else.
    """
    owner = _other_owner(directory)
    if owner is None:
        yield
        return
    user, group = owner
    groups, own_group = os.getgroups(), os.getegid()
    try:
        _become(user, group, [group])
    except PermissionError as error:
        why = f"belongs to user {user}, as whom this root may not work: run the command as that user"
        raise PermissionError(errno.EPERM, why, str(directory)) from error
    try:
        yield
    finally:
        os.seteuid(0)  # first: only root may have other groups
        _become(0, own_group, groups)


def _other_owner(directory: Path) -> tuple[int, int] | None:
    """The directory's user, and the group that this one has; None where nobody is to be become."""
    if os.geteuid():
        return None
    found = next(each for each in (directory, *directory.absolute().parents) if each.exists()).stat()
    if not found.st_uid:
        return None
    try:
        return found.st_uid, pwd.getpwuid(found.st_uid).pw_gid
    except KeyError:  # a user without a name, as in a container
        return found.st_uid, found.st_gid


def _become(user: int, group: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)
