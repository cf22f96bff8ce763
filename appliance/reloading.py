"""Reads anew what an operator may have changed: signatures, lists of web addresses, the API key of KSN.

SIGHUP and `svm signatures reload` both come here. Each of the three is read whatever becomes of the others,
and where one cannot be used, what was in use before stays.
"""

import asyncio

import structlog

from appliance.ksn.api_key import ApiKey, KeyUnusable
from appliance.ksn.lists import UrlLists
from appliance.scanning.scanner import ReloadFailed, Scanner

log = structlog.get_logger("svm")


async def reload_all(scanner: Scanner, lists: UrlLists, key: ApiKey | None) -> str:
    """Read all anew, and log what came of it. key: None where KSN is not enabled.

    Returns sentences about what could not be used, "" where all could.
    """
    problems = []
    try:
        await scanner.reload()
    except ReloadFailed as error:
        log.error("reload failed, the old signatures stay in use", why=str(error))
        problems.append(str(error))
    await reload_lists(lists)
    if key is not None:
        problems.append(await renew_key(key))
    return "; ".join(filter(None, problems))


async def reload_lists(lists: UrlLists) -> None:
    """Read the lists of web addresses anew; what could not be taken is logged."""
    report = await asyncio.to_thread(lists.reload)
    if report.bad or report.left_out:
        log.warning(
            "lists of web addresses",
            entries=report.entries,
            bad=report.bad,
            left_out=report.left_out,
            first=report.problems[:1],
        )


async def renew_key(key: ApiKey) -> str:
    """Read the API key anew, and log it; a sentence where it could not be used."""
    try:
        renewed = await key.renew()
    except KeyUnusable as error:
        log.error("the old API key of KSN stays in use", why=str(error))
        return str(error)
    log.info("API key of KSN read", changed=renewed.changed, asked_again=renewed.asked_again)
    return ""
