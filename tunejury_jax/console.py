"""What every command line here shares: typed options, one-line errors, an exit status that tells."""

import os
import select
import sys
from collections.abc import Callable
from typing import Any

import tyro
from rich.console import Console

__all__ = ["command", "make_console"]

FILE_WIDTH = 120


def command(program: str, config: Any, main: Callable[[Any], int | None]) -> None:
    """Parses the options that `config` describes, a dataclass or a union of them, runs `main` on them and exits.

    Exit status: what `main` returns (None is 0), 2 for input that was refused, 130 when interrupted, 141 when
    nobody reads the output any more.
    """
    try:
        sys.exit(main(tyro.cli(config, prog=program)) or 0)
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(141)
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)


def _nobody_reads() -> bool:
    """Whether standard output was closed by who read it, as `head` does; then nothing goes there any more."""
    output = sys.__stdout__.fileno() if sys.__stdout__ else -1
    poll = select.poll()
    poll.register(output, 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        # Python flushes once more as it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return closed


def make_console() -> Console:
    """A console on standard output; as wide as the terminal, or wide enough for tables where there is none.

    It prints text as it is: file names hold brackets and colons, which rich would read as styles and emoji.
    """
    return Console(width=None if sys.stdout.isatty() else FILE_WIDTH, markup=False, emoji=False)
