"""The command line: ``langtrack COMMAND …``, or ``python -m langtrack_core COMMAND …``.

Exit codes: 0 done; 1 something that the user can put right, told in one line; 2 wrong usage; 129, 130 and 143
stopped by a closed terminal, Ctrl-C and SIGTERM, with nothing half-written; 141 nobody reads the output.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

from . import PROG
from .types import LangTrackError


class Command(NamedTuple):
    """A command of the command line.

    Attributes:
        module: has ``add_arguments(parser)`` and ``run(args) -> int``; imported when the command is used.
            ``args.target`` is the second word of the command's name, "" when it has none.
        help: what it does, in a few words.
        own_signals: it handles SIGTERM itself, as a training does, which saves before it ends.
    """

    module: str
    help: str
    own_signals: bool = False


Commands = dict[tuple[str, ...], Command]
COMMANDS: Commands = {
    ("track",): Command("langtrack_core.run.command", "follow an object and write a run folder"),
}
"""Commands by their one or two words."""

OPTIONAL_COMMANDS = "langtrack_lab.commands"
"""Module with further ``COMMANDS``; its package may be missing, and the core knows it by name alone."""


class Parser(argparse.ArgumentParser):
    """Tells wrong usage in one line; its subcommands' parsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help shows the usage.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; what it returns is the exit code."""
    replace_unprintable()
    arguments = joined_values(sys.argv[1:] if argv is None else argv)
    try:
        commands = all_commands()
        name = command_name(arguments, commands)
        if name is None:
            overview(commands).parse_args(arguments)  # leaves, with the help or with an error
            return 2
        args = parser_of(name, commands).parse_args(arguments[len(name) :])
        with contextlib.nullcontext() if commands[name].own_signals else _terminable():
            code = args.run(args)
            print(end="", flush=True)
            return code
    except BrokenPipeError:
        sys.stdout = None  # a reader such as `head` has gone; at the end Python would flush it once more
        return 141
    except LangTrackError as error:
        sentence, code = str(error), 1
    except KeyboardInterrupt:
        sentence, code = "stopped; nothing half-written is left.", 130
    except Exception as error:  # a fault of ours: still one line, and the traceback for whoever wants it
        if os.environ.get("LANGTRACK_DEBUG"):
            raise
        kind = type(error).__name__
        sentence, code = f"internal error ({kind}: {error}); LANGTRACK_DEBUG=1 shows where.", 1
    print(f"{PROG}: {sentence}", file=sys.stderr)
    return code


def joined_values(arguments: Sequence[str]) -> list[str]:
    """``--box -5,0,9,9`` as ``--box=-5,0,9,9``: argparse takes what begins with a minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if re.match(r"-[.0-9]", argument) and joined and re.fullmatch(r"--\w[^=]*", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def replace_unprintable() -> None:
    """Print characters that the terminal's encoding lacks as escapes: no run must fail in its report."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def all_commands() -> Commands:
    """The core's commands, and those of `OPTIONAL_COMMANDS` where it is installed."""
    package = OPTIONAL_COMMANDS.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        return COMMANDS
    return COMMANDS | importlib.import_module(OPTIONAL_COMMANDS).COMMANDS


def command_name(arguments: Sequence[str], commands: Commands) -> tuple[str, ...] | None:
    """The longest command that the arguments begin with; None when there is none."""
    return next((n for n in (tuple(arguments[:2]), tuple(arguments[:1])) if n in commands), None)


def parser_of(name: tuple[str, ...], commands: Commands) -> Parser:
    """The parser of one command; the parsed arguments have ``run``."""
    command = commands[name]
    module = importlib.import_module(command.module)
    longer = {other: c for other, c in commands.items() if other[: len(name)] == name and other != name}
    parser = Parser(
        f"{PROG} {' '.join(name)}",
        description=f"{command.help[0].upper()}{command.help[1:]}.",
        epilog="; ".join(f"{' '.join(other)}: {c.help}" for other, c in longer.items()) or None,
    )
    module.add_arguments(parser)
    parser.set_defaults(run=module.run, target=name[1] if len(name) > 1 else "")
    return parser


def overview(commands: Commands) -> Parser:
    """Lists the commands; each has a ``--help`` of its own."""
    parser = Parser(PROG, description="Follow an object through a video by describing it.")
    listing = parser.add_subparsers(required=True, metavar="command")
    for first in dict.fromkeys(name[0] for name in commands):
        same = {name: command for name, command in commands.items() if name[0] == first}
        words = "; ".join(": ".join([*name[1:], command.help]) for name, command in same.items())
        one = listing.add_parser(first, help=words)
        if (first,) not in commands:
            one.add_argument("target", choices=[name[1] for name in same], help=words)
    return parser


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block by an exception: files are cleaned up as after Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # whoever runs it there handles signals
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
