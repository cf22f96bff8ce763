"""What deploy, upgrade and undeploy have in common."""

import argparse
import fcntl
import io
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli.console import CommandError, Console
from appliance.hypervisor.cli.deploying import (
    add_run_arguments,
    add_size_arguments,
    add_system_arguments,
    seed_part,
    settings_and_wanted,
    site,
    system_of,
    told_of,
)
from appliance.hypervisor.cli.hosts import add_host_arguments
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.site import DeployError
from appliance.hypervisor.virt.connection import VirtError
from tests.support.deployments import disk


def console() -> Console:
    """One that nobody looks at."""
    return Console({}, io.StringIO(), io.StringIO(), lambda: 0.0, program="svm-host")


def parsed(*words: object) -> argparse.Namespace:
    """The arguments of a command line."""
    parser = argparse.ArgumentParser()
    for add in (add_system_arguments, add_size_arguments, add_run_arguments, add_host_arguments):
        add(parser)
    return parser.parse_args(list(map(str, words)))


def configured(tmp_path: Path, text: str = "") -> Path:
    """A file of settings whose state is the test's own."""
    path = tmp_path / "svm-host.toml"
    path.write_text(f'state_dir = "{tmp_path}/state"\n{text}')
    return path


def test_arguments_win_over_settings_and_those_over_defaults(tmp_path: Path) -> None:
    """Each of them by its name."""
    path = configured(tmp_path, '[deploy]\nmemory_mib = 2048\nvcpus = 4\npool_dir = "/srv/svm"\n')
    _, wanted = settings_and_wanted(parsed("--config", path, "--vcpus", 1, "--name", "other"), console())
    expected = replace(Deployment(), name="other", memory_mib=2048, vcpus=1, pool_dir="/srv/svm")
    assert wanted == expected


def test_what_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    """Before any host is asked."""
    with pytest.raises(CommandError, match="--memory is 1: give 512"):
        settings_and_wanted(parsed("--memory", 1), console())
    with pytest.raises(CommandError, match=r"--address '10\.1\.1\.1' is no address with its prefix"):
        settings_and_wanted(
            parsed("--config", configured(tmp_path, '[deploy]\naddress = "10.1.1.1"\n')), console()
        )


def test_a_system_is_an_image_or_three_files(tmp_path: Path) -> None:
    """And not half of each."""
    image = disk(tmp_path / "a.qcow2")
    (tmp_path / "vmlinuz").write_bytes(b"\0" * 0x202 + b"HdrS")
    (tmp_path / "initrd").write_bytes(b"1")
    assert system_of(parsed()) is None
    assert list(system_of(parsed("--image", image)) or ()) == ["system"]
    direct = ("--kernel", tmp_path / "vmlinuz", "--initrd", tmp_path / "initrd", "--root", image)
    assert sorted(system_of(parsed(*direct)) or ()) == ["initrd", "kernel", "system"]
    for words, sentence in (
        (("--image", image, *direct), "boots by itself"),
        (direct[:4], "go together: give all three"),
        (("--image", image, "--append", "x"), "--append is for a kernel"),
    ):
        with pytest.raises(BadDeployment, match=sentence):
            system_of(parsed(*words))


def test_the_operators_files_go_into_the_seed(tmp_path: Path) -> None:
    """What cannot be read, or is something else, is told."""
    (tmp_path / "svm.toml").write_text("[limits]\nmax_guests = 7\n")
    part = seed_part(Deployment(), told_of(parsed("--svm-config", tmp_path / "svm.toml")))
    with part.open() as content:
        assert b"max_guests = 7" in content.read()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, sentence in (("none", "cannot be read"), ("binary", "is no text in UTF-8")):
        with pytest.raises(BadDeployment, match=sentence):
            told_of(parsed("--svm-config", tmp_path / name))


@pytest.mark.parametrize("text", ["nan", "-5", "inf", "0", "soon", "3601"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    """Before anything is made that would have to wait for it."""
    with pytest.raises(SystemExit):
        parsed(f"--wait={text}")
    assert parsed("--wait=1.5").wait == 1.5


def test_one_at_a_time(tmp_path: Path) -> None:
    """Two of them would take back what the other makes."""
    args = parsed("--config", configured(tmp_path), "--connect", "test:///default")
    with site(args, console()):
        pass
    with (tmp_path / "state" / "deploy.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="another svm-host deploys"), site(args, console()):
            pass


@pytest.mark.parametrize("error", [VirtError("x"), DeployError("x"), BadDeployment("x")])
def test_what_goes_wrong_is_a_sentence(tmp_path: Path, error: Exception) -> None:
    """Whoever raises it."""
    args = parsed("--config", configured(tmp_path), "--connect", "test:///default")
    with pytest.raises(CommandError, match="x"), site(args, console()):
        raise error


def test_a_host_that_is_not_there_or_two_of_them(tmp_path: Path) -> None:
    """It says what to say."""
    path = configured(tmp_path, '[libvirt]\nuri = ["test:///default", "test:///default"]\n')
    with (
        pytest.raises(CommandError, match="name 2 hosts, and an SVM is of one: say --connect"),
        site(parsed("--config", path), console()),
    ):
        pass
    with (
        pytest.raises(CommandError, match="no libvirt answers"),
        site(parsed("--config", path, "--connect", "qemu+unix:///system?socket=/nowhere"), console()),
    ):
        pass


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """Its parent is a file."""
    (tmp_path / "state").touch()
    args = parsed("--config", configured(tmp_path), "--connect", "test:///default")
    with pytest.raises(CommandError, match="state cannot be used"), site(args, console()):
        pass


@pytest.mark.parametrize("given", ["nan", "-5", "inf", "0", "3601", "soon", "1e9", ""])
def test_a_time_to_wait_is_checked_as_the_setting_is(given: str) -> None:
    """Before anything is made that would have to be taken back."""
    with pytest.raises(argparse.ArgumentError, match="is no time to wait: give 1 to 3600 seconds"):
        parsed_strictly("--wait", given)


def test_a_time_to_wait_in_the_range_is_taken() -> None:
    """With parts of seconds."""
    assert parsed("--wait", "1.5").wait == 1.5


def parsed_strictly(*words: str) -> argparse.Namespace:
    """The arguments; what is wrong is raised."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_run_arguments(parser)
    return parser.parse_args([f"{words[0]}={words[1]}"])
