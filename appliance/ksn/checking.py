"""Tries a service step by step, as `svm ksn check` shows it: each step a line with its result.

Only ever done on behalf of a tenant that takes part: a look-up of the service's name leaves the house too.
The question that is asked stands in the ledger like any other.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Outcome
from appliance.ksn.network import Ksn
from appliance.ksn.reputation import Trouble

STEP_SECONDS = 5.0
# EICAR's test file, which every service knows.
KNOWN = bytes.fromhex("275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f")


_NOT_SENT = frozenset(
    {
        Trouble.PAUSED,
        Trouble.NOT_RECORDED,
        Trouble.WITHDRAWN,
        Trouble.BUSY,
        Trouble.NOT_OFFERED,
        Trouble.NOT_ALLOWED,
        Trouble.FAULT,
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: "name", "TLS", "credentials", "known digest" or "quota". said: a sentence."""

    what: str
    good: bool
    said: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is, and how it is reached. tls: None where it is spoken to in the clear."""

    base_url: str
    tls: ssl.SSLContext | None
    proxied: bool = False


async def check(ksn: Ksn, place: Place, asker: Asker) -> list[Step]:
    """Try everything that can be tried, and tell it in the order in which a request meets it.

    The question comes first: unless the ledger has it, nothing else is sent either, not even for a name.
    """
    outcome = await ksn.look_up(asker, KNOWN, STEP_SECONDS)
    left = ksn.asking.quota_left()
    if isinstance(outcome, Unknown) and (outcome.why in _NOT_SENT or left == 0):
        untried = f"not tried: {outcome.reason}"
        steps = [Step("name", False, untried), Step("TLS", False, untried)]
    else:
        steps = await _way(place, lambda: ksn.participants.allows(asker))
    steps += _answered(outcome)
    steps.append(
        Step("quota", left != 0, "no limit is set" if left is None else f"{left:,} questions left today")
    )
    return steps


async def _way(place: Place, allowed: Callable[[], bool]) -> list[Step]:
    """Try the name, and TLS. allowed: asked before each."""
    parts = urlsplit(place.base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if place.proxied:
        said = f"{host} is looked up and spoken to by the proxy"
        return [Step("name", True, said), Step("TLS", True, "see credentials: it goes through the proxy")]
    loop = asyncio.get_running_loop()
    if not allowed():
        return [Step("name", False, "not tried: the tenant takes part no more")]
    try:
        async with asyncio.timeout(STEP_SECONDS):
            found = await loop.getaddrinfo(host, port)
    except (OSError, TimeoutError) as error:
        return [
            Step("name", False, f"{host} is not found ({_words(error)}): see ksn.endpoint, and the SVM's DNS")
        ]
    steps = [Step("name", True, f"{host} is {found[0][4][0]}")]
    if not allowed():
        return [*steps, Step("TLS", False, "not tried: the tenant takes part no more")]
    if place.tls is None:
        return [*steps, Step("TLS", True, "not used: the service is on this machine")]
    try:
        async with asyncio.timeout(STEP_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=place.tls, server_hostname=host)
            version = writer.get_extra_info("ssl_object").version()
            writer.close()
        steps.append(Step("TLS", True, f"{version}, the certificate is trusted"))
    except ssl.SSLCertVerificationError as error:
        said = f"the certificate is not trusted ({error.verify_message}): see ksn.ca_file"
        steps.append(Step("TLS", False, said))
    except (OSError, TimeoutError) as error:
        steps.append(Step("TLS", False, f"no connection to {host}:{port} ({_words(error)})"))
    return steps


def _answered(outcome: Outcome) -> list[Step]:
    if isinstance(outcome, Unknown):
        said = outcome.reason if outcome.why is Trouble.REFUSED else "nobody knows: no answer came"
        return [Step("credentials", False, said), Step("known digest", False, outcome.reason)]
    name = f", {outcome.threat}" if outcome.threat else ""
    return [Step("credentials", True, "taken"), Step("known digest", True, f"{outcome.zone.value}{name}")]


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing within {STEP_SECONDS:g} s"
    return str(getattr(error, "strerror", "")) or type(error).__name__
