"""How a program of the appliance reads its command line; failures become one line and an exit code."""

import argparse
import errno
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from appliance.cli.console import FAILED, CommandError, Console
from appliance.cli.times import BadTime
from appliance.config_file import ConfigError
from appliance.domain.digest import BadDigest
from appliance.rpc.admin_client import AdminError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
INTERRUPTED = 130  # as a shell reports a program that Ctrl-C ended
PIPE_CLOSED = 141  # as a shell reports a program whose reader went away


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions, and every argument on the line of its help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


class Parser(argparse.ArgumentParser):
    """Raises CommandError for a line that it cannot read."""

    def __init__(self, **options: object) -> None:
        super().__init__(
            **options,  # type: ignore[arg-type]
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As every parser; keeps what it reads for error()."""
        self._words = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise CommandError, with where to read more."""
        is_first = self._subparsers is not None and self._words[:1] and self._words[0].startswith("-")
        order = ": options stand behind the command" if is_first else ""
        raise CommandError(f"{message}{order}; see `{self.prog} --help`")


def run_command(parser: Parser, arguments: Sequence[str], console: Console) -> int:
    """Run the command that the arguments name; return its exit code. Nothing a person can cause raises."""
    try:
        args = parser.parse_args(arguments)
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
        remedy = "; free room where that is written" if error.errno in _NO_ROOM else ""
        console.complain(f"{error.filename or 'the output'}: {error.strerror or error}{remedy}")
    return FAILED
