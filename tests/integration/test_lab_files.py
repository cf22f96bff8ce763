"""The files of the lab: Vagrant takes them, scripts are sh, boxes are what it wants, the story is told."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.hypervisor.image.box import make_box
from appliance.scanning.engines.eicar import MAX_BYTES, TEST_STRING, WHITE_SPACE
from tests.lab.__main__ import Place, how_ended
from tests.support.deployments import disk
from vagrant import lab_test, story
from vagrant.machines import Machine, Ran, StoryError, Vagrant

LAB = Path(__file__).parents[2] / "vagrant"
SCRIPTS = [LAB / "build-box", LAB / "lab-test", *(LAB / "provision").iterdir()]


def vagrant(*words: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Vagrant on the lab, with nothing of its own but what is below a directory."""
    own = {
        "VAGRANT_HOME": str(home),
        "VAGRANT_DOTFILE_PATH": str(home / "dot"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    return subprocess.run(
        ["vagrant", *words],
        check=False,
        cwd=LAB,
        env={**os.environ, **own, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "environ", [{"LAB_TYPE": "kvm"}, {"LAB_TYPE": "qemu"}, {"LAB_BOX": "debian/bookworm64"}]
)
def test_vagrant_takes_the_vagrantfile(environ: dict[str, str], tmp_path: Path) -> None:
    """Of either type, and with a public box."""
    ran = vagrant("validate", home=tmp_path, **environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_type_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    """It says which there are."""
    ran = vagrant("validate", home=tmp_path, LAB_TYPE="xen")
    assert ran.returncode != 0
    assert 'LAB_TYPE is "xen": kvm or qemu' in ran.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_sh(script: Path) -> None:
    """And may be run."""
    assert script.read_text().startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    ran = subprocess.run(["sh", "-n", script], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("script", [LAB / "build-box", LAB / "lab-test"], ids=lambda script: script.name)
def test_programs_say_how_they_are_used(script: Path) -> None:
    """From wherever they are called."""
    ran = subprocess.run([script, "--help"], check=False, cwd="/", capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"usage: {script.name} ")


def test_a_kind_of_box_that_is_none_is_a_sentence() -> None:
    """Before anything is made."""
    words = [str(LAB / "build-box"), "router"]
    ran = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr.endswith("build-box: error: 'router' is no kind of box: svm or guest\n")


def test_vagrant_takes_a_box(tmp_path: Path) -> None:
    """It adds it under its name, for libvirt."""
    box = make_box("svm", disk(tmp_path / "image.qcow2"), tmp_path, epoch=5)
    home = tmp_path / "home"
    ran = vagrant("box", "add", "--name", box.stem, f"file://{box}", home=home)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{box.stem} (libvirt, 0)" in vagrant("box", "list", home=home).stdout


@pytest.mark.parametrize("mark", [0, 1, -1, 0xDEADBEEF])
def test_each_run_has_an_eicar_file_of_its_own(mark: int) -> None:
    """By EICAR's rule it is one all the same."""
    content = story.eicar(mark).encode()
    assert content.startswith(TEST_STRING)
    assert len(content) <= MAX_BYTES
    assert not content[len(TEST_STRING) :].strip(WHITE_SPACE)
    assert content != story.eicar(mark ^ 2).encode()


class Scripted(Machine):
    """A machine whose answers a function gives."""

    def __init__(self, name: str, answers: Callable[[str], Ran]) -> None:
        super().__init__(name, Path("nowhere"))
        object.__setattr__(self, "answers", answers)

    def run(self, script: str) -> Ran:
        """What it would do."""
        found: Ran = object.__getattribute__(self, "answers")(script)
        return found


def lab_of(answers: Callable[[str], Ran]) -> story.Lab:
    """A lab in which all machines answer so."""
    return story.Lab(Vagrant(LAB), Scripted("svm", answers), [Scripted("guest1", answers)])


def test_only_the_kernels_refusal_counts_as_denied() -> None:
    """A file that is not there was not blocked, and the test says so."""
    assert lab_of(lambda _script: Ran(0, "", "")).opens(Scripted("g", lambda _s: Ran(0, "", "")), "x")
    lab = lab_of(lambda _script: Ran(1, "", "cat: x: Operation not permitted"))
    assert not lab.opens(lab.guests[0], "x")
    lab = lab_of(lambda _script: Ran(1, "", "cat: x: No such file or directory"))
    with pytest.raises(StoryError, match=r"guest1: .* not for a verdict: cat: x: No such file"):
        lab.opens(lab.guests[0], "x")


def test_what_is_written_in_a_guest_is_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, whatever sh makes of it, under the digest that is returned."""
    monkeypatch.setattr(story, "PLACE", str(tmp_path))

    def here(script: str) -> Ran:
        ran = subprocess.run(["sh", "-s"], check=False, input=script, capture_output=True, text=True)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    lab = lab_of(here)
    text = "it's \\0 100% $HOME `x`\n\ttail  "
    digest = lab.write(lab.guests[0], "file", text)
    assert Path(lab.path("file")).read_text() == text
    summed = subprocess.run(["sha256sum", lab.path("file")], check=True, capture_output=True, text=True)
    assert summed.stdout.startswith(digest)


def test_the_part_that_is_not_so_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those before it have said what they saw."""

    def wrong(_lab: story.Lab) -> str:
        raise StoryError("it is not")

    monkeypatch.setattr(lab_test, "PARTS", [("one", lambda _lab: "seen"), ("two", wrong)])
    with pytest.raises(StoryError, match=r"^two: it is not$"):
        lab_test.tell(lab_of(lambda _script: Ran(0, "", "")))
    assert "one\n             seen\n" in capsys.readouterr().out


def test_without_machines_it_is_a_sentence(tmp_path: Path) -> None:
    """And no traceback."""
    environ = {"VAGRANT_HOME": str(tmp_path), "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot")}
    ran = subprocess.run(
        [LAB / "lab-test"],
        check=False,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("lab-test: `vagrant ssh-config svm guest1 guest2` ended with ")


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("exit 3", "ended with 3"),
        ("kill -TERM $$", "was ended by signal 15 (SIGTERM)"),
        ("kill -KILL $$", "was ended by signal 9 (SIGKILL)"),
    ],
)
def test_how_a_step_of_the_lab_ended_is_told(does: str, said: str, tmp_path: Path) -> None:
    """One that was killed says nothing itself."""
    place = Place([], {}, tmp_path / "log")
    assert how_ended(place.run("sh", "-c", does)) == said


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    """Those of real time have none."""
    assert how_ended(-40) == "was ended by signal 40 (of no name)"
