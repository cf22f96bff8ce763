"""What a deployed SVM is, written into its domain and read again."""

from dataclasses import replace

import pytest

from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment


def test_it_is_read_as_it_was_written() -> None:
    """A later run knows all of it."""
    odd = Deployment(name="a", vcpus=7, reserve=False, append='quiet "x"', system="s", kernel="k", initrd="i")
    assert Deployment.read(odd.attributes()) == odd


def test_what_an_older_version_did_not_write_is_as_it_was() -> None:
    """An upgrade of the program does not lose an SVM."""
    assert Deployment.read({"name": "old", "later-word": "x"}) == Deployment(name="old")


def test_a_number_that_is_none_is_told() -> None:
    """Somebody edited the domain."""
    with pytest.raises(BadDeployment, match="'many' where a number should be"):
        Deployment.read({"vcpus": "many"})


def test_differences_name_the_arguments() -> None:
    """What is asked for, and what there is."""
    wanted = replace(Deployment(), memory_mib=8192, append="quiet")
    assert Deployment().differences(wanted) == ["--memory 8192, not 4096", "--append quiet, not none"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "a b"}, "--name 'a b' is no name for that"),
        ({"name": "x" * 51}, "50 letters"),
        ({"bridge": "x" * 16}, "deploy.bridge .* 15 letters"),
        ({"memory_mib": 10}, "--memory is 10: give 512 to"),
        ({"vcpus": 0}, "--vcpus is 0: give 1 to 256"),
        ({"state_gib": 0}, "--state-size is 0"),
        ({"host_network": "kvmla-protection"}, "are one: give two names"),
        ({"append": "a\nb"}, "--append is no line"),
    ],
)
def test_what_no_host_could_make_is_a_sentence(changes: dict[str, object], sentence: str) -> None:
    """It names the argument."""
    with pytest.raises(BadDeployment, match=sentence):
        replace(Deployment(), **changes).check()  # type: ignore[arg-type]


def test_the_defaults_can_be_made() -> None:
    """Who says nothing gets something."""
    Deployment().check()
