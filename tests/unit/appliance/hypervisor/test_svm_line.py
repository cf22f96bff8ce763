"""The way to the SVM of those that run on one loop."""

from pathlib import Path

import pytest

from appliance.hypervisor.settings import SvmSettings
from appliance.hypervisor.svm_line import SvmLine
from appliance.rpc.admin_client import AdminError


async def test_without_a_server_it_is_told_which_setting_is_meant() -> None:
    """A sentence, as from any SVM that cannot be asked."""
    with pytest.raises(AdminError, match=r"svm\.server of the settings names no SVM"):
        await SvmLine(SvmSettings()).ask(lambda svm: svm.status())


async def test_without_a_certificate_it_is_told_which_file_is_missing(tmp_path: Path) -> None:
    """And what makes it."""
    line = SvmLine(SvmSettings("127.0.0.1:1", tmp_path))
    with pytest.raises(AdminError, match="svm certificates issue"):
        await line.ask(lambda svm: svm.status())


async def test_after_it_was_closed_it_can_be_opened_anew(tmp_path: Path) -> None:
    """As when the SVM was deployed anew."""
    line = SvmLine(SvmSettings("127.0.0.1:1", tmp_path))
    line.close()
    with pytest.raises(AdminError, match="No such file"):
        line.client()
