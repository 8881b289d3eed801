"""The sources by name, and which options each takes: the arguments of its reader."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from feature_export.sources.aime import read_aime
from feature_export.sources.cmi_pref import read_cmi_pref
from feature_export.sources.folder import read_folder
from feature_export.sources.music_arena import read_music_arena
from feature_export.sources.musicprefs import read_musicprefs
from feature_export.sources.reading import Reading
from feature_export.sources.songeval import read_songeval
from tunejury_jax.errors import one_of

__all__ = ["SOURCES", "read_source"]

SOURCES: dict[str, Callable[..., Reading]] = {
    "music-arena": read_music_arena,
    "musicprefs": read_musicprefs,
    "aime": read_aime,
    "songeval": read_songeval,
    "cmi-pref": read_cmi_pref,
    "folder": read_folder,
}


def read_source(source: str, options: Mapping[str, Any]) -> Reading:
    """Reads a source by name.

    Raises:
        ValueError: An option that the source does not take, or one it needs and was not given; all that its reader
            refuses.
    """
    reader = SOURCES[one_of("source", source, tuple(SOURCES))]
    parameters = inspect.signature(reader).parameters
    for option in options:
        one_of(f"option of source {source}", option, tuple(parameters))
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in options:
            raise ValueError(f"{name}: source {source} needs it")
    return reader(**options)
