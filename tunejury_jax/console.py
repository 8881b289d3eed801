"""What every command line here shares: typed options, one-line errors, an exit status that tells."""

import sys
from collections.abc import Callable
from typing import Any

import tyro
from rich.console import Console

__all__ = ["command", "make_console"]

FILE_WIDTH = 120


def command(program: str, config: Any, main: Callable[[Any], int | None]) -> None:
    """Parses the options that `config` describes, a dataclass or a union of them, runs `main` on them and exits.

    Exit status: what `main` returns (None is 0), 2 for input that was refused, 130 when interrupted.
    """
    try:
        sys.exit(main(tyro.cli(config, prog=program)) or 0)
    except (ValueError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)


def make_console() -> Console:
    """A console on standard output; as wide as the terminal, or wide enough for tables where there is none.

    It prints text as it is: file names hold brackets and colons, which rich would read as styles and emoji.
    """
    return Console(width=None if sys.stdout.isatty() else FILE_WIDTH, markup=False, emoji=False)
