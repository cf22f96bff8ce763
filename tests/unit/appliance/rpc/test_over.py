"""The counters of what was over a bound."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from appliance.config_identity import IdentitySettings
from appliance.config_limits import Limits, TenantLimits
from appliance.rpc.over import GUESTS, OVER, TENANTS, counter_of

OPERATIONS = (Path(__file__).parents[4] / "docs" / "operations.md").read_text()
SECTION = OPERATIONS.partition("\n## Limits\n")[2].partition("\n## ")[0]
APART = SECTION.partition("\n### Without a counter of their own\n")[2].partition("\n### ")[0]
TIMES = ("guest_days", "administrator_days", "server_days")  # how long something counts: nobody is over it


def settings() -> Iterator[tuple[str, str]]:
    """Each bound: its table of the settings, its name in that."""
    yield from (("limits", field.name) for field in fields(Limits) if field.name != "tenant")
    yield from (("limits.tenant", field.name) for field in fields(TenantLimits))
    yield from (("identity", field.name) for field in fields(IdentitySettings) if field.name not in TIMES)


def cells(table: str) -> Iterator[list[str]]:
    """Those of each line of the first table of a text, without its head."""
    lines = table[table.index("\n| ") :].partition("\n\n")[0].strip().splitlines()
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def names(text: str) -> set[str]:
    """What stands in code in it."""
    return set(re.findall(r"`([\w.]+)`", text))


def test_each_counter_is_of_a_setting() -> None:
    """Its name is the setting's, so that who reads it knows what to look up."""
    assert set(GUESTS) <= {field.name for field in fields(Limits)}
    assert set(TENANTS) <= {field.name for field in fields(TenantLimits)}
    settings = [*(f"limits.{name}" for name in GUESTS), *(f"limits.tenant.{name}" for name in TENANTS)]
    assert tuple(map(counter_of, settings)) == OVER


def test_the_table_of_limits_has_every_bound() -> None:
    """docs/operations.md: what a tenant has in the tenant's column, the rest in the others."""
    rows = list(cells(SECTION))
    of_tenants = names(" ".join(tenant for _of, _guest, tenant, *_ in rows))
    of_others = names(" ".join(f"{guest} {everybody}" for _of, guest, _tenant, everybody, *_ in rows))
    there = {
        "limits": of_others,
        "limits.tenant": of_tenants,
        "identity": {name.removeprefix("identity.") for name in of_tenants | of_others},
    }
    assert [f"{table}.{name}" for table, name in settings() if name not in there[table]] == []


def test_what_has_no_counter_of_its_own_is_said() -> None:
    """docs/operations.md lists these, and no others; every other bound has the figure of its name."""
    figures = names(OPERATIONS.partition("\n| figure | kind | meaning |\n")[2].partition("\n\n")[0])
    whose = {"limits": "guest", "limits.tenant": "tenant", "identity": "identity"}
    without = {
        f"{table}.{name}".removeprefix("limits.")
        for table, name in settings()
        if f"{whose[table]}_over_{name}" not in figures
    }
    assert names(" ".join(setting for setting, _told in cells(APART))) == without
