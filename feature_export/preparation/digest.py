"""The digest of an audio file: what was encoded."""

import hashlib
from pathlib import Path

import soundfile

from feature_export.decode import MAX_DURATION_S

__all__ = ["file_sha256"]


def file_sha256(path: Path) -> str | None:
    """The sha256 of a file's bytes; None where there is no regular file that can be read, or one that is refused by
    its header because it lasts too long: of that one there may be gigabytes."""
    try:
        if not path.is_file() or _lasts_too_long(path):
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _lasts_too_long(path: Path) -> bool:
    try:
        return soundfile.info(path).duration > MAX_DURATION_S
    except soundfile.SoundFileError:  # another kind of file
        return False
