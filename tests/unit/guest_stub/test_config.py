"""Tests of the stub's settings."""

from pathlib import Path

import pytest

from guest_stub import config
from guest_stub.config import ConfigError, StubSettings, load, state_directory
from guest_stub.on_access.policy import FailMode, Mode
from guest_stub.on_access.settings import AccessSettings

WHOLE = """
# what a guest may set
svm = "tcp:10.0.0.1:4711"
state_dir = "/srv/stub"
decisions_mib = 64
threads = 3
idle_rate_mb = 2.5
exclude = ["*.iso", "/var/cache/*"]
quarantine_mib = 32
quarantine_days = 7
"""


def test_every_setting_is_read(tmp_path: Path) -> None:
    """What stands in the file is what comes out."""
    (tmp_path / "stub.toml").write_text(WHOLE)
    assert load(tmp_path / "stub.toml", {}) == StubSettings(
        "tcp:10.0.0.1:4711", "/srv/stub", 64, 3, 2.5, ("*.iso", "/var/cache/*"), 32, 7
    )


def test_the_table_of_protection_is_read(tmp_path: Path) -> None:
    """Beside the others; without it its defaults hold."""
    table = '\n[on_access]\nmode = "notify"\nopen_seconds = 2\non_failure_below = { "/srv" = "deny" }\n'
    (tmp_path / "stub.toml").write_text(WHOLE + table)
    settings = load(tmp_path / "stub.toml", {})
    assert settings.svm == "tcp:10.0.0.1:4711"
    assert settings.on_access == AccessSettings(Mode.NOTIFY, 2.0, on_failure_below={"/srv": FailMode.DENY})
    (tmp_path / "stub.toml").write_text(WHOLE)
    assert load(tmp_path / "stub.toml", {}).on_access == AccessSettings()


def test_the_example_is_the_defaults() -> None:
    """Whoever copies it changes nothing before he changes it."""
    assert load(Path(config.__file__).with_name("guest-stub.example.toml"), {}) == StubSettings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """KVMLA_SVM names the SVM."""
    (tmp_path / "stub.toml").write_text(WHOLE)
    assert load(tmp_path / "stub.toml", {"KVMLA_SVM": "unix:/x"}).svm == "unix:/x"
    assert load(tmp_path / "stub.toml", {"KVMLA_SVM": ""}).svm == "tcp:10.0.0.1:4711"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('# a\nsvn = "x"\n', r'stub.toml:2: "svn" is not a setting; there are: svm, state_dir'),
        ("[scan]\n", r'stub.toml:1: "scan" is not a setting'),
        ("threads = true\n", r"stub.toml:1: threads is a number from 0 to 64, not True"),
        ("threads = 65\n", r"threads is a number from 0 to 64, not 65"),
        ("threads = 1.5\n", r"threads is a number from 0 to 64, not 1.5"),
        ("idle_rate_mb = 0\n", r"idle_rate_mb is a number from 0.001"),
        ("\nsvm = 1\n", r"stub.toml:2: svm is a text"),
        ('svm = ""\n', r"svm is a text"),
        ("quarantine_mib = 0\n", r"quarantine_mib is a number from 1 to 524288, not 0"),
        ("quarantine_days = 3651\n", r"quarantine_days is a number from 1 to 3650, not 3651"),
        ("exclude = [1]\n", r"exclude is a list of globs"),
        ('exclude = "x"\n', r"exclude is a list of globs"),
        ("on_access = 1\n", r"stub.toml:1: on_access is a table: write \[on_access\]"),
        ('[on_access]\nmode = "all"\n', r'stub.toml:2: "mode" is one of block-open, .*, not .all.'),
        ("[on_access]\n\nmod = 1\n", r'stub.toml:3: "mod" is not a setting of \[on_access\]'),
        ("on_access = { open_seconds = 0 }\n", r'"open_seconds" is a number from 0.05 to 300, not 0'),
        ("threads = \n", r"stub.toml: Invalid value .at line 1"),
        (f"threads = {'[' * 5000}{']' * 5000}\n", r"stub.toml: brackets in brackets"),
        (f"threads = {'1' * 5000}\n", r"stub.toml: Exceeds the limit"),
        ("svm = \xff\n", r"stub.toml: 'utf-8' codec can't decode"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """A typo, a wrong type, a number out of range, what is no TOML: a sentence each."""
    (tmp_path / "stub.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "stub.toml", {})


def test_a_mistake_in_a_table_is_named_with_its_own_line(tmp_path: Path) -> None:
    """`exclude` is a setting of scans, too."""
    (tmp_path / "stub.toml").write_text('exclude = ["a"]\n[on_access]\nexclude = 1\n')
    with pytest.raises(ConfigError, match=r'stub.toml:3: "exclude" is a list of texts'):
        load(tmp_path / "stub.toml", {})


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """Only the default file may be missing."""
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "no.toml", {})
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, {})


def test_threads_follow_the_machine() -> None:
    """Unless set, as many hash as there are processors, 4 at most."""
    assert 1 <= StubSettings().hash_threads <= 4
    assert StubSettings(threads=9).hash_threads == 9


@pytest.mark.parametrize(
    ("environ", "uid", "directory"),
    [
        ({"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/kvm-light-agent/stub"),
        ({"HOME": "/home/u", "XDG_STATE_HOME": "/x"}, 1000, "/x/kvm-light-agent/stub"),
        ({"HOME": "/home/u"}, 1000, "/home/u/.local/state/kvm-light-agent/stub"),
    ],
)
def test_state_is_kept_where_it_belongs(environ: dict[str, str], uid: int, directory: str) -> None:
    """Root's for the system, a user's own in the user's home."""
    assert state_directory(StubSettings(), environ, uid) == Path(directory)
    assert state_directory(StubSettings(state_dir="/srv"), environ, uid) == Path("/srv")
