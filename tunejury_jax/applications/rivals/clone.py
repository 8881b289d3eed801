"""Modules of a repository that is no package, from a clone of it."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["file_of", "import_from"]


def import_from(clone: Path, module: str) -> ModuleType:
    """Imports a module of a clone; it may import its neighbours, and what it needs installed.

    Args:
        clone: The repository's folder.
        module: Its name, as seen from that folder.

    Raises:
        ValueError: The clone does not have it, something that it needs is not installed, or a module of that name was
            imported from elsewhere before.
    """
    file_of(clone, f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py")
    with _importable(clone):
        try:
            imported = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ValueError(f"{clone}: {module} needs {error.name}, which is not installed") from error
    if clone.resolve() not in Path(str(imported.__file__)).resolve().parents:
        raise ValueError(f"{clone}: another {module} was imported before, {imported.__file__}; use a process for each")
    return imported


def file_of(clone: Path, *names: str) -> Path:
    """The first of these files that the clone has.

    Raises:
        ValueError: It has none of them.
    """
    for name in names:
        if (clone / name).is_file():
            return clone / name
    raise ValueError(f"{clone}: has no {' or '.join(names)}, expected a clone of the repository with its weights")


@contextmanager
def _importable(clone: Path) -> Iterator[None]:
    sys.path.insert(0, str(clone.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(clone.resolve()))
