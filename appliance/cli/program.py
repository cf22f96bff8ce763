"""Reads the command line of `svm`, runs a command, turns failures into one line and an exit code."""

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from appliance.cli import (
    audit,
    backup,
    cache,
    certificates,
    check_config,
    doctor,
    events,
    guests,
    init,
    ksn,
    policy,
    serve,
    signatures,
    status,
    verdicts,
)
from appliance.cli.console import FAILED, CommandError, Console
from appliance.cli.times import BadTime
from appliance.config import ConfigError
from appliance.domain.digest import BadDigest
from appliance.rpc.admin_client import AdminError
from appliance.version import program_version

INTERRUPTED = 130  # as a shell reports a program that Ctrl-C ended
PIPE_CLOSED = 141  # as a shell reports a program whose reader went away

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


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions, and every argument on the line of its help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def __init__(self, **options: object) -> None:
        super().__init__(
            **options,  # type: ignore[arg-type]
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="svm", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"svm {program_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
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
    ):
        command.add(commands)
    return parser


def run(arguments: Sequence[str], console: Console) -> int:
    """Run one command; return its exit code. Nothing that a person can cause raises."""
    try:
        args = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace, Console], int] = args.run
        code = command(args, console)
        console.out.flush()
        return code
    except (CommandError, ConfigError, AdminError, BadDigest, BadTime) as error:
        console.complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as error:
        console.complain(f"{error.filename or 'the output'}: {error.strerror or error}")
    return FAILED
