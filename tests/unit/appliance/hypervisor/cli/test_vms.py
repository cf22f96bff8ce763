"""The machines of libvirt's own test host."""

import io

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run


def svm_host(*words: str) -> tuple[int, str, str]:
    """Run `svm-host`: exit code, output, errors."""
    out, err = io.StringIO(), io.StringIO()
    code = run(words, Console({}, out, err, lambda: 0.0, program="svm-host"))
    return code, out.getvalue(), err.getvalue()


def test_machines_are_listed_by_name() -> None:
    """With what binds a guest's identity to them, their UUID."""
    code, out, err = svm_host("vms", "--connect", "test:///default")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == [
        "test",
        "6695eb01-f6a4-8304-79aa-97f2502e193f",
        "running",
        "test:///default",
    ]


def test_no_libvirt_is_a_sentence() -> None:
    """It says what to do."""
    code, out, err = svm_host("vms", "--connect", "qemu+unix:///system?socket=/nowhere/libvirt-sock")
    assert (code, out) == (2, "")
    assert err.startswith("svm-host: no libvirt answers at qemu+unix:")
    assert "start libvirtd" in err


def test_a_name_that_is_no_address_of_libvirt() -> None:
    """The sentence has one that is."""
    code, _, err = svm_host("vms", "--connect", "nonsense")
    assert code == 2
    assert "such as qemu:///system" in err
