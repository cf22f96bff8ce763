"""What a command tells the SVM itself."""

import io
from dataclasses import replace
from pathlib import Path

from appliance.cli.console import Console
from appliance.hypervisor.cli.telling import tell_svm
from appliance.hypervisor.inventory.outbox import ForSvm, Outbox
from appliance.hypervisor.settings import HostSettings, SvmSettings
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.machines import WEB
from tests.support.virt_test_host import own_test_host


def test_what_the_svm_does_not_take_now_waits(tmp_path: Path) -> None:
    """That is said, where there is to be one; tests/integration has one that takes it."""
    settings, err = HostSettings(tmp_path), io.StringIO()
    console = Console({}, io.StringIO(), err, lambda: 0.0, program="svm-host")
    with VirtHost.open(own_test_host(tmp_path)) as host:
        unreachable = replace(settings, svm=SvmSettings("127.0.0.1:1", tmp_path))
        tell_svm(unreachable, host, console)
        Outbox(tmp_path).put("id", ForSvm(host.uri, WEB, "vm-isolated", "why", 1.0))
        tell_svm(settings, host, console)
        assert err.getvalue() == ""
        tell_svm(unreachable, host, console)
    assert "svm-host: the SVM is told of it later, by `svm-host serve`: " in err.getvalue()
    assert len(Outbox(tmp_path).all()) == 1
