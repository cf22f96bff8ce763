"""Which bounds were reached, and what broke."""

from appliance.config import Settings
from appliance.console.figures import FIGURES
from appliance.doctor.limits import FAILING, TROUBLE, limit_findings
from appliance.rpc.over import OVER


def test_an_svm_that_met_no_bound_is_well() -> None:
    """Its workers are ready, and nothing was counted."""
    quiet = {"workers": 2, "workers_ready": 2, **dict.fromkeys(OVER, 0.0)}
    assert [(each.what, each.good) for each in limit_findings(quiet, "3 h")] == [
        ("workers", True),
        ("limits", True),
    ]


def test_bounds_that_were_reached_are_named_by_their_settings() -> None:
    """Of a guest and of a tenant, with how often and since when."""
    figures = {"guest_over_open_checks": 3, "tenant_over_guests": 1200.0}
    found = [each for each in limit_findings(figures, "3 h 2 min") if each.what == "limit"]
    assert [each.good for each in found] == [None, None]
    assert found[0].said.startswith("limits.open_checks was reached 3 times in 3 h 2 min")
    assert found[1].said.startswith("limits.tenant.guests was reached 1,200 times")
    assert hasattr(Settings().limits, "open_checks")
    assert hasattr(Settings().limits.tenant, "guests")


def test_what_does_not_work_is_amiss() -> None:
    """Workers that are missing, and files that cannot be written."""
    figures = {"workers": 2.0, "workers_ready": 1.0, **dict.fromkeys(FAILING, 1.0)}
    assert sum(each.good is False for each in limit_findings(figures, "3 h")) == 1 + len(FAILING)


def test_trouble_since_the_start_is_to_be_known() -> None:
    """Each with what to do."""
    found = [each for each in limit_findings(dict.fromkeys(TROUBLE, 7.0), "3 h") if "since" in each.what]
    assert [each.good for each in found] == [None] * len(TROUBLE)
    assert found[0].said == "7 contents broke workers, in 3 h: the log names their digests"


def test_what_is_looked_at_are_figures_of_an_svm() -> None:
    """By the names that it gives them."""
    names = {*TROUBLE, *FAILING, "workers", "workers_ready"}
    assert names <= FIGURES.keys()
