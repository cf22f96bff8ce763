"""The settings of a deployed SVM, svm.toml: its doors, which follow from the networks, and what the operator
wrote.

Both are joined as text, so that his comments stay, and parsed again: what comes out has to be the two and
nothing else, or it is refused before anything is made.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from appliance.hypervisor.deploy.deployment import BadDeployment

MAX_SETTINGS_BYTES = 128 * 1024

_DOORS = ("listen", "enrolment", "admin_listen")
_OURS = (*_DOORS, "admin", "state_dir")  # of [server]
_MOST_HEADERS = 16  # that are looked at: one is right, others stand in texts of several lines
_HEADER = re.compile(r"^[ \t]*\[[ \t]*server[ \t]*\][ \t]*(?:#[^\n]*)?\r?$", re.MULTILINE)


def checked_settings(text: str) -> str:
    """Return the operator's svm.toml, to which doors can be joined. Raises BadDeployment.

    Whether its settings are right the SVM's own reader knows, by `svm check-config`.
    """
    joined(text, dict.fromkeys(_DOORS, ""))
    return text


def joined(own: str, doors: Mapping[str, str]) -> str:
    """svm.toml. own: the operator's, "" for none. doors: settings of [server]. Raises BadDeployment."""
    found = _parsed(own)
    both = {**found, "server": {**_server(found), **doors}}
    for text in _candidates(own, doors):
        try:
            if tomllib.loads(text) == both:
                return text
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
    raise BadDeployment(
        "the SVM's doors cannot be put into --svm-config: write its settings of the server as a table, "
        "[server] on a line of its own and a setting on each line after it"
    )


def own_of(text: str, doors: Mapping[str, str]) -> str:
    """The operator's part of what was joined with these doors. Raises BadDeployment where it was not."""
    for block in (_lines(doors), _lines(doors, "server.")):
        if block in text:
            own = text.replace(block, "", 1)
            with suppress(BadDeployment):
                if joined(own, doors) == text:
                    return own
    raise BadDeployment("it does not have the doors that this SVM has")


def _candidates(own: str, doors: Mapping[str, str]) -> Iterator[str]:
    """Ways to join them, one of which is right, if it can be done."""
    lines = _lines(doors)
    for header in islice(_HEADER.finditer(own), _MOST_HEADERS):
        after = header.end() + 1
        yield own[:after] + ("" if own[header.end() : after] else "\n") + lines + own[after:]
    yield f"[server]\n{lines}\n{own}"
    yield f"{own}\n[server]\n{lines}"  # where he has settings that are of no table
    yield f"{_lines(doors, 'server.')}{own}"  # or such as server.name = 1


def _lines(doors: Mapping[str, str], before: str = "") -> str:
    return "".join(f'{before}{name} = "{value}"\n' for name, value in doors.items())


def _parsed(own: str) -> dict[str, Any]:
    if len(own.encode()) > MAX_SETTINGS_BYTES:
        raise BadDeployment(f"--svm-config has more than {MAX_SETTINGS_BYTES:,} bytes: it is something else")
    try:
        return tomllib.loads(own)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadDeployment(f"--svm-config is no TOML ({error}): try it by `svm check-config`") from error


def _server(found: Mapping[str, Any]) -> dict[str, Any]:
    """Its table of the server, which has none of what deploy sets."""
    server = found.get("server", {})
    if not isinstance(server, dict):
        raise BadDeployment("--svm-config has a server that is no table: try it by `svm check-config`")
    taken = [f"server.{name}" for name in _OURS if name in server]
    if taken:
        raise BadDeployment(
            f"--svm-config has {', '.join(taken)}, which deploy sets itself: take it out, "
            "and say --address and --host-address"
        )
    return server
