"""`tunejury doctor`: what is installed and works."""

from dataclasses import dataclass

from tunejury_jax.console import make_console

__all__ = ["Doctor"]


@dataclass(frozen=True)
class Doctor:
    """Show versions and backends, and what to do about missing parts."""

    def run(self) -> int:
        from rich.table import Table

        from tunejury_jax.doctor import examine

        table = Table("part", "state", "what to do")
        for finding in examine():
            table.add_row(*finding)
        make_console().print(table)
        return 0
