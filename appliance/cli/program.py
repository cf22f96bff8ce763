"""The commands of `svm`."""

from collections.abc import Sequence

from appliance.cli import (
    audit,
    backup,
    cache,
    certificates,
    check_config,
    doctor,
    events,
    guests,
    host_port,
    init,
    ksn,
    packet_filter,
    policy,
    serve,
    signatures,
    status,
    verdicts,
)
from appliance.cli.console import Console
from appliance.cli.parsing import Parser, run_command
from appliance.version import program_version

_DESCRIPTION = """The security virtual machine of KVM Light Agent: it answers the guests of this host
about their files, and scans each file once, however many guests hold it."""

_EPILOG = """examples:
  svm init
  svm serve --config /etc/kvm-light-agent/svm.toml
  svm doctor
  svm status
  svm verdicts set DIGEST --allow --reason "our own installer" --expires 30d
  svm guests list
  svm guests token
  svm events --follow
  svm signatures test /srv/rules
  svm policy create
  svm ksn status
  svm backup /srv/backups/svm-1.backup

environment:
  KVMLA_CONFIG         the settings file, where --config does not name one
  KVMLA_STATE_DIR      wins over server.state_dir of the settings
  KVMLA_ADMIN_SOCKET   the administration socket, where --socket does not name one
  KVMLA_ADMIN_SERVER   HOST:PORT of an SVM on another machine, as --server
  KVMLA_ADMIN_IDENTITY the directory of the certificate for it, as --identity

exit codes:
  0  done
  1  the answer is no: problems were found, nothing is known, an engine is not ready
  2  the command could not do its work; the reason is on stderr

`svm COMMAND --help` tells more of each."""


def _parser() -> Parser:
    parser = Parser(prog="svm", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"svm {program_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in (
        init,
        serve,
        check_config,
        doctor,
        status,
        verdicts,
        audit,
        guests,
        certificates,
        events,
        signatures,
        cache,
        policy,
        ksn,
        backup,
        packet_filter,
        host_port,
    ):
        command.add(commands)
    return parser


def run(arguments: Sequence[str], console: Console) -> int:
    """Run one command of `svm`; return its exit code."""
    return run_command(_parser(), arguments, console)
