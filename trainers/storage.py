"""Where the trials of a sweep are kept: a journal file, or a database that several workers share."""

import re
import time
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

__all__ = ["open_study", "shown"]

URL = "a URL such as sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
OPEN_ATTEMPTS = 5
MADE_BY_ANOTHER = "already exists|locked|UNIQUE|duplicate key"
"""What a database says where two workers make its tables at the same moment."""


def open_study(location: str | Path, name: str) -> optuna.Study:
    """Opens a study of Optuna, or makes it.

    Args:
        location: The path of a journal, or the URL of a database.
        name: Name of the study there.

    Raises:
        ValueError: It cannot be opened; says why, without the URL's password.
    """
    return _in_journal(location, name) if isinstance(location, Path) else _in_database(location, name)


def shown(location: str | Path) -> str:
    """A location as messages show it, without its password."""
    return re.sub("//.*@", "//***@", str(location))


def _in_journal(path: Path, name: str) -> optuna.Study:
    try:
        return _study(JournalStorage(JournalFileBackend(str(path))), name)
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise ValueError(f"storage: {path} is no journal of a sweep; choose another") from error


def _in_database(url: str, name: str) -> optuna.Study:
    try:
        return _study(_connected(url, OPEN_ATTEMPTS), name)
    except ImportError as error:
        reason = f"its database driver is not installed ({error.__cause__})"
    except (ArgumentError, ValueError, TypeError):
        reason = "which names no database"
    except (SQLAlchemyError, OptunaError, RuntimeError) as error:
        reason = f"which cannot be opened ({_first_line(error)})"
    raise ValueError(f"storage: got {shown(url)!r}, {reason}; accepted is {URL}")


def _first_line(error: BaseException) -> str:
    """What went wrong in the database's own words, without the statement that it was asked."""
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", cause)).splitlines()[0]


def _study(storage: BaseStorage, name: str) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name=name, load_if_exists=True)


def _connected(url: str, attempts: int) -> RDBStorage:
    """Opens a database; again where another worker was making the same tables."""
    # SQLite lets one worker write at a time; the others wait for it.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except DBAPIError as error:
        if attempts == 1 or not re.search(MADE_BY_ANOTHER, str(error.orig)):
            raise
    time.sleep(0.2)
    return _connected(url, attempts - 1)
