"""Settings: what a file may say, and how what it may not say is refused."""

import tomllib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import appliance
from appliance.config import Settings, admin_socket, load
from appliance.config_file import ConfigError

EXAMPLE = Path(appliance.__path__[0]) / "svm.example.toml"

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a settings file and gives its path."""

    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "svm.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def problems(path: Path) -> list[str]:
    """What is wrong with a file, without the file's own name."""
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return [problem.removeprefix(str(path)) for problem in caught.value.problems]


def names(cls: Any) -> dict[str, Any]:
    """All settings of a dataclass as nested names."""
    defaults = cls()
    return {
        field.name: names(type(value)) if is_dataclass(value := getattr(defaults, field.name)) else None
        for field in fields(cls)
    }


def keys(table: dict[str, Any]) -> dict[str, Any]:
    """All settings of a TOML table as nested names."""
    return {name: keys(value) if isinstance(value, dict) else None for name, value in table.items()}


def test_without_a_file_the_embedded_defaults_count() -> None:
    """No path and no variable give the defaults, and read no file."""
    assert load(None, {}) == Settings()


def test_the_example_has_every_setting() -> None:
    """The example names each setting of the dataclasses, and nothing else."""
    assert keys(tomllib.loads(EXAMPLE.read_text())) == names(Settings)


def test_the_example_gives_the_defaults() -> None:
    """Every value in the example is the one that counts where none is given."""
    assert load(EXAMPLE, {}) == Settings()


def test_every_setting_of_the_example_is_explained() -> None:
    """Each setting that has a range or a choice stands below a comment."""
    lines = EXAMPLE.read_text().splitlines()
    bare = [
        line
        for above, line in pairwise(lines)
        if " = " in line and not line.startswith("#") and not above.startswith("#")
    ]
    assert bare == ["enabled = true", "enabled = true", 'socket = "/run/clamav/clamd.ctl"']


def test_a_file_changes_what_it_names(write: Write) -> None:
    """Settings of all types are taken over; the rest keeps its default."""
    path = write(
        """
        [server]
        listen = "tcp:[::1]:7000"
        state_dir = "/srv/svm"
        [limits]
        upload_stall_seconds = 2
        [engines]
        yara.rules_dirs = ["/srv/rules", "/srv/more"]
        eicar = {enabled = false}
        """
    )
    settings = load(path, {})
    assert settings.server.listen == "tcp:[::1]:7000"
    assert settings.server.state_dir == Path("/srv/svm")
    assert settings.limits.upload_stall_seconds == 2.0
    assert isinstance(settings.limits.upload_stall_seconds, float)
    assert settings.engines.yara.rules_dirs == (Path("/srv/rules"), Path("/srv/more"))
    assert not settings.engines.eicar.enabled
    assert settings.cache == Settings().cache


def test_the_environment_names_the_file_and_the_state_directory(write: Write) -> None:
    """KVMLA_CONFIG is read where no path is given; KVMLA_STATE_DIR wins over the file."""
    path = write('[server]\nstate_dir = "/from/file"\n[limits]\nmax_guests = 7\n')
    settings = load(None, {"KVMLA_CONFIG": str(path), "KVMLA_STATE_DIR": "/from/environment"})
    assert settings.limits.max_guests == 7
    assert settings.server.state_dir == Path("/from/environment")


def test_a_relative_state_directory_in_the_environment_is_refused() -> None:
    """KVMLA_STATE_DIR is held to the same form as the setting."""
    with pytest.raises(ConfigError, match="KVMLA_STATE_DIR: 'state' is not an absolute path"):
        load(None, {"KVMLA_STATE_DIR": "state"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[server]\nlisten = "unix:/a"\nmetrik = ""\n',
            ":3: server.metrik: no such setting; did you mean metrics?",
        ),
        ("\n[sever]\n", ":2: sever: no such setting; did you mean server?"),
        ("[log]\nqqq = 1\n", ":2: log.qqq: no such setting; there are level, format"),
        ("engines.yara.enabeld = true", ":1: engines.yara.enabeld: no such setting; did you mean enabled?"),
        ("[limits]\nmax_batch = '12'", ':2: limits.max_batch: must be a whole number, is "12"'),
        ("[limits]\nmax_batch = 1.5", ":2: limits.max_batch: must be a whole number, is 1.5"),
        ("[limits]\nmax_batch = true", ":2: limits.max_batch: must be a whole number, is true"),
        ("[limits]\nmax_batch = 0", ":2: limits.max_batch: 0 is out of range: give 1 to 8192"),
        ("[limits]\nevent_readers = 1", ":2: limits.event_readers: 1 is out of range: give 2 to 1024"),
        ("[limits]\nfirst_places = -1", ":2: limits.first_places: -1 is out of range: give 0 to 4096"),
        ("[limits]\ntenant.images = 0", ":2: limits.tenant.images: 0 is out of range: give 1 to 256"),
        (
            "[identity]\nenrolments_per_connection = 65",
            ":2: identity.enrolments_per_connection: 65 is out of range: give 1 to 64",
        ),
        ("[limits]\nlease_seconds = nan", ":2: limits.lease_seconds: nan is out of range: give 1 to 3600"),
        ("[limits]\nlease_seconds = 'x'", ':2: limits.lease_seconds: must be a number, is "x"'),
        ("[engines.yara]\nenabled = 1", ":2: engines.yara.enabled: must be true or false, is 1"),
        ("[server]\nlisten = 5", ":2: server.listen: must be a string in quotes, is 5"),
        ("[server]\nstate_dir = 5", ":2: server.state_dir: must be a path in quotes, is 5"),
        (
            "[engines.yara]\nrules_dirs = '/x'",
            ':2: engines.yara.rules_dirs: must be a list in brackets, is "/x"',
        ),
        ("[engines]\nyara = true", ":2: engines.yara: must be a table, is true"),
        (
            "[log]\nlevel = 'loud'",
            ":2: log.level: 'loud' is not allowed: give one of debug, info, warning, error",
        ),
    ],
)
def test_what_does_not_belong_is_refused_with_its_line(write: Write, text: str, said: str) -> None:
    """An unknown name, a wrong type, a value out of range: file, line, and what is allowed."""
    assert problems(write(text)) == [said]


def test_all_problems_are_told_at_once(write: Write) -> None:
    """Problems come in the order of their lines; the message counts those it does not show."""
    path = write("[limits]\nmax_batch = 0\nspoool_mib = 3\n[log]\nformat = 'xml'\n")
    assert [problem.split(":")[1] for problem in problems(path)] == ["2", "3", "5"]
    with pytest.raises(ConfigError, match=r"and 2 more: see `svm check-config`"):
        load(path, {})


def test_settings_that_contradict_each_other_are_refused(write: Write) -> None:
    """The line of the setting that the file names is told, whichever of the two it is."""
    assert problems(write("[limits]\n\nspool_mib = 100\n")) == [
        ":3: limits.guest_spool_mib: 256 is more than spool_mib (100); lower it or raise spool_mib"
    ]
    assert problems(write("[limits]\ntickets_per_user = 2000\n")) == [
        ":2: limits.tickets_per_user: 2000 is more than max_tickets (1024); lower it or raise max_tickets"
    ]
    assert load(write("[scans]\nleast_slots = 9\n"), {}).scans.least_slots == 9
    assert problems(write("[scans]\nslots = 2\nleast_slots = 3\n")) == [
        ":3: scans.least_slots: 3 is more than slots (2); lower it or raise slots"
    ]
    assert problems(write('[server]\nlisten = "unix:/a"\nadmin = "/a"\n')) == [
        ":3: server.admin: the same path as server.listen; give it one of its own"
    ]


def test_an_svm_without_engines_is_refused(write: Write) -> None:
    """Somebody who turns all engines off is told that nothing could be scanned."""
    off = "".join(f"[engines.{name}]\nenabled = false\n" for name in ("yara", "hashlist", "eicar"))
    [problem] = problems(write(off))
    assert "engines: none is enabled" in problem


def test_broken_toml_is_refused_with_its_line(write: Write) -> None:
    """A syntax error names the line, in the middle and at the end of the file."""
    assert problems(write("[log]\nlevel = \n"))[0].startswith(":2: not TOML: Invalid value")
    assert problems(write("[log]\nlevel = 'info"))[0].startswith(":2: not TOML: ")


@pytest.mark.parametrize(
    "text", [f"a = {'[' * 5000}{']' * 5000}", f"[limits]\nmax_batch = {'1' * 5000}"], ids=["nested", "digits"]
)
def test_what_no_reader_of_toml_bears_is_refused(write: Write, text: str) -> None:
    """Brackets within brackets, and numbers of thousands of digits, end in a sentence too."""
    with pytest.raises(ConfigError, match="longer than any setting"):
        load(write(text), {})


def test_bytes_that_are_no_text_are_refused_with_their_line(write: Write) -> None:
    """A file that is not UTF-8 names the line of the first bad byte."""
    assert problems(write(b"[log]\n# \xff\n")) == [":2: not UTF-8; save the file as UTF-8"]


def test_a_file_that_is_too_large_is_refused(write: Write) -> None:
    """A path to something huge costs no memory."""
    assert problems(write(b"#" * (256 * 1024 + 1))) == [": over 256 KiB, which is no settings file"]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file and a directory end in a sentence."""
    assert "cannot be read: No such file or directory" in problems(tmp_path / "none.toml")[0]
    assert "cannot be read: Is a directory" in problems(tmp_path)[0]


def test_the_admin_socket_comes_from_the_nearest_word(write: Write) -> None:
    """The argument wins over the variable, the variable over the file, the file over the default."""
    path = write('[server]\nadmin = "/from/file"\n')
    environ = {"KVMLA_ADMIN_SOCKET": "/from/environment"}
    assert admin_socket("/from/argument", path, environ) == "/from/argument"
    assert admin_socket(None, path, environ) == "/from/environment"
    assert admin_socket(None, path, {}) == "/from/file"
    assert admin_socket(None, None, {}) == "/run/kvm-light-agent/admin.sock"


def test_ksn_is_off_by_default() -> None:
    """Who sets nothing sends nothing, and shares nothing."""
    ksn = Settings().ksn
    assert (ksn.enabled, ksn.mode_limit, ksn.share_between_tenants) == (False, "standard", False)


def test_a_ksn_of_ones_own_is_set(write: Write) -> None:
    """Endpoint, files, proxy and bounds are taken over; what may be left out is None."""
    path = write(
        """
        [ksn]
        enabled = true
        type = "private"
        mode_limit = "extended"
        endpoint = "https://ksn.corp.example/api/v1/"
        api_key_file = "/etc/svm/ksn.key"
        certificate_file = "/etc/svm/ksn.pem"
        certificate_key_file = "/etc/svm/ksn-key.pem"
        proxy = "http://svm:secret@proxy:3128"
        locked = ["mode", "participation", "documents"]
        per_day = 0
        breaker = {in_a_row = 3}
        """
    )
    ksn = load(path, {}).ksn
    assert (ksn.enabled, ksn.type, ksn.mode_limit) == (True, "private", "extended")
    assert ksn.endpoint == "https://ksn.corp.example/api/v1/"
    assert (ksn.api_key_file, ksn.ca_file) == (Path("/etc/svm/ksn.key"), None)
    assert (ksn.certificate_file, ksn.certificate_key_file) == (
        Path("/etc/svm/ksn.pem"),
        Path("/etc/svm/ksn-key.pem"),
    )
    assert ksn.locked == ("mode", "participation", "documents")
    assert (ksn.per_day, ksn.breaker.in_a_row, ksn.breaker.slow_seconds) == (0, 3, 0.5)
    assert ksn.proxy.endswith("@proxy:3128")
    assert "secret" not in repr(ksn)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[ksn]\nenabled = true\n",
            ":2: ksn.api_key_file: the global KSN answers only who has a key; give the file that holds yours",
        ),
        (
            '[ksn]\nenabled = true\ntype = "private"\n',
            ":2: ksn.endpoint: a private KSN has no usual address; give the base URL of yours",
        ),
        (
            '[ksn]\ncertificate_file = "/c"\n',
            ":2: ksn.certificate_file: counts only together with certificate_key_file; give both, or neither",
        ),
        (
            '[ksn]\ncertificate_key_file = "/c"\n',
            ":2: ksn.certificate_key_file: counts only together with certificate_file; give both, or neither",
        ),
        (
            "[ksn.breaker]\npause_seconds = 400\n",
            ":2: ksn.breaker.pause_seconds: 400.0 is more than longest_pause_seconds (300.0); lower it or "
            "raise longest_pause_seconds",
        ),
        (
            "[ksn.submit]\nmax_file_mib = 1\npart_mib = 2\n",
            ":3: ksn.submit.part_mib: 2 is more than max_file_mib (1); lower it or raise max_file_mib",
        ),
        (
            '[ksn]\nendpoint = "http://localhost/"\nproxy = "http://proxy:3128"\n',
            ":3: ksn.proxy: would be sent the API key in the clear; give an https:// endpoint, or no proxy",
        ),
        ('[ksn]\ntype = "both"', ":2: ksn.type: 'both' is not allowed: give one of global, private"),
        (
            "[ksn]\nlocked = ['type']",
            ":2: ksn.locked: 'type' is not allowed: give one of mode, participation, documents",
        ),
        ("[ksn]\nbudget_share = 1", ":2: ksn.budget_share: 1 is out of range: give 0.05 to 0.9"),
        ("[ksn]\nca_file = 'ca.pem'", ":2: ksn.ca_file: 'ca.pem' is not an absolute path: begin it with /"),
    ],
)
def test_a_ksn_that_could_not_be_asked_is_refused(write: Write, text: str, said: str) -> None:
    """What an enabled KSN lacks, and what goes together, is told before the SVM starts."""
    assert problems(write(text)) == [said]


def test_a_ksn_that_is_off_needs_nothing(write: Write) -> None:
    """What is set beside `enabled = false` may be unfinished."""
    assert load(write('[ksn]\ntype = "private"\n'), {}).ksn.type == "private"


def test_a_password_of_the_proxy_is_not_told(write: Write) -> None:
    """A proxy that is written wrongly is refused without being shown."""
    [problem] = problems(write('[ksn]\nproxy = "https://svm:secret@proxy:3128"\n'))
    assert problem.startswith(":2: ksn.proxy: is no proxy: give http://HOST:PORT")
    assert "secret" not in problem
