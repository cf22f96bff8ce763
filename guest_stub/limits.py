"""How many files a process may have open: each event and each file that is looked at takes one."""

import resource
from typing import Final

MOST_OPEN: Final = 65_536


def raise_open_files(most: int = MOST_OPEN) -> int:
    """Allow this process as many open files as it may allow itself, `most` at most; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
