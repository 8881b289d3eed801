"""The seven music collections whose scores are published, and how their tracks are called.

Ids and path columns are those of the published tables: every one of their 219,020 ids follows its collection's rule.
What the files are called that were scored is published for four collections and assumed for the others; docs/
release-scores.md says which.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunejury_jax.released_scores import ID, SCORE, Rows
from tunejury_jax.score_files import AudioFile, find_audio

__all__ = ["COLLECTIONS", "Collection", "Found", "Track", "find_tracks"]

MIDI = (".mid", ".midi")


@dataclass(frozen=True)
class Track:
    """A track of a collection.

    Attributes:
        id: As published.
        path: Its file.
        columns: What else the table says of it, by column.
    """

    id: str
    path: Path
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Collection:
    """How the tracks of a collection are called.

    Attributes:
        name: As the published data set calls it.
        published: How many tracks have a published score.
        stem: What a file is called, without its suffix; files of other names are no tracks.
        id: Of a track, with `{stem}` and `{folder}`, the last folder of its path.
        extra: Columns of the published table beyond id and score.
        path: What the published table says of a track's path, its only extra column; empty for nothing.
        suffixes: Of the files; empty for audio of any kind.
    """

    name: str
    published: int
    stem: str
    id: str
    extra: tuple[str, ...] = ()
    path: str = ""
    suffixes: tuple[str, ...] = ()

    @property
    def rendered(self) -> bool:
        """Whether its files are notes, which a synthesiser turns into audio."""
        return self.suffixes == MIDI

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the published table."""
        return (ID, SCORE, *self.extra)

    def track(self, path: Path) -> Track | None:
        """The track that a file is; None where it is called as no track."""
        if not (matched := re.fullmatch(self.stem, path.stem)):
            return None
        names = {"folder": path.parent.name, "name": path.name, "stem": matched[1]}
        columns = {self.extra[0]: self.path.format(**names)} if self.path else {}
        return Track(self.id.format(**names), path, columns)


# In a stem, the group is what the id has of it.
_ALL = (
    Collection(
        "mtg_jamendo",
        55_701,
        r"(\d+)(?:\.low)?",
        "jamendo_{folder}_{stem}",
        ("relative_path",),
        "{folder}/{name}",
    ),
    Collection("fma_large", 106_401, r"(\d{6})", "fma_{stem}"),
    Collection("mtat", 25_860, r"(.+)", "mtat_{stem}", ("audio_path",), "mp3/{folder}/{name}"),
    Collection("openmic", 20_000, r"(\d{6}_\d+)", "openmic_{stem}", ("audio_path",), "audio/{folder}/{name}"),
    Collection(
        "midicaps",
        5_000,
        r"([0-9a-f]{32})",
        "midicaps_{stem}",
        ("tempo", "key", "duration", "genre", "caption"),
        suffixes=MIDI,
    ),
    Collection("musiccaps", 5_352, r"([\w-]{11})", "musiccaps_{stem}.wav", ("caption", "audioset_labels")),
    Collection("sdd", 706, r"(\d+\.2min)", "sdd_{stem}"),
)

COLLECTIONS: dict[str, Collection] = {each.name: each for each in _ALL}
"""By name."""


@dataclass(frozen=True)
class Found:
    """What a folder has of a collection.

    Attributes:
        tracks: Those to score: in the order of the list, or of their paths where there is none.
        missing: Ids of the list without a file.
        passed_over: How many files are no tracks, or not of the list.
    """

    tracks: Sequence[Track]
    missing: Sequence[str]
    passed_over: int

    def every(self, count: int, first: int) -> "Found":
        """Every `count`-th track and missing id, from the `first`: together these are all of them, each once."""
        return replace(self, tracks=self.tracks[first::count], missing=self.missing[first::count])


def find_tracks(collection: Collection, root: Path, audio: tuple[str, ...], listed: Rows | None = None) -> Found:
    """Looks for the tracks of a collection.

    Args:
        collection: Which.
        root: Folder to search in depth.
        audio: Suffixes of audio that can be scored.
        listed: Which tracks, and what is known of them, such as a published table; by default all that are there.

    Raises:
        ValueError: `root` has none, or two files are the same track.
    """
    if not root.is_dir():
        raise ValueError(f"audio_root: {root} is not a folder")
    files, other = find_audio((root,), collection.suffixes or audio)
    tracks = _by_id(collection, files)
    wanted = tracks if listed is None else listed.by_id
    if not (chosen := [_described(tracks[key], listed) for key in wanted if key in tracks]):
        raise ValueError(
            f"audio_root: {root} has no track of {collection.name}, whose files are called {collection.stem}"
        )
    missing = [key for key in wanted if key not in tracks]
    return Found(chosen, missing, other + len(files) - len(chosen))


def _by_id(collection: Collection, files: Sequence[AudioFile]) -> dict[str, Track]:
    tracks: dict[str, Track] = {}
    for track in filter(None, (collection.track(file.path) for file in files)):
        if (other := tracks.setdefault(track.id, track)) is not track:
            raise ValueError(f"audio_root: {other.path} and {track.path} are both track {track.id}")
    return tracks


def _described(track: Track, listed: Rows | None) -> Track:
    known = listed.by_id[track.id] if listed else {}
    return Track(track.id, track.path, {**known, **track.columns})
