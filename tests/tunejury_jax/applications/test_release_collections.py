"""Which files are tracks of a collection, and what they are called."""

from pathlib import Path

import pytest
from released_tables import published

from tunejury_jax.applications.release.collections import COLLECTIONS, find_tracks
from tunejury_jax.released_scores import Rows, read_rows

AUDIO = (".mp3", ".ogg", ".wav")

# Path below the audio root -> id, and the further columns that a path gives; ids and paths are published ones.
NAMED = {
    "mtg_jamendo": {
        "00/1002000.mp3": ("jamendo_00_1002000", {"relative_path": "00/1002000.mp3"}),
        "raw/99/996099.low.mp3": ("jamendo_99_996099", {"relative_path": "99/996099.low.mp3"}),
    },
    "fma_large": {"fma_large/000/000002.mp3": ("fma_000002", {})},
    "mtat": {
        "0/an_artist-a_record-01-a_song-0-29.mp3": (
            "mtat_an_artist-a_record-01-a_song-0-29",
            {"audio_path": "mp3/0/an_artist-a_record-01-a_song-0-29.mp3"},
        )
    },
    "openmic": {
        "openmic-2018/audio/000/000046_3840.ogg": ("openmic_000046_3840", {"audio_path": "audio/000/000046_3840.ogg"})
    },
    "midicaps": {
        "lmd_full/1/1a0751ad20e2f82957410a7510a1b13e.mid": ("midicaps_1a0751ad20e2f82957410a7510a1b13e", {}),
        "lmd_full/1/1a0751ad20e2f82957410a7510a1b13f.MID": ("midicaps_1a0751ad20e2f82957410a7510a1b13f", {}),
    },
    "musiccaps": {
        "-0Gj8-vB1q4.wav": ("musiccaps_-0Gj8-vB1q4.wav", {}),
        "a/v88cAXP03As.mp3": ("musiccaps_v88cAXP03As.wav", {}),
    },
    "sdd": {"89/5089.2min.mp3": ("sdd_5089.2min", {})},
}
STRANGERS = {
    "mtg_jamendo": "00/cover.mp3",
    "fma_large": "000/2.mp3",
    "openmic": "000/000046.ogg",
    "midicaps": "1/song.mid",
    "musiccaps": "a video.wav",
    "sdd": "89/5089.mp3",
}


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listing(*ids: str, **columns: str) -> Rows:
    return Rows(("track_id", *columns), {key: {"track_id": key, **columns} for key in ids})


def test_the_published_numbers_of_tracks_add_up() -> None:
    assert sum(each.published for each in COLLECTIONS.values()) == 219_020
    assert set(NAMED) == set(COLLECTIONS)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_tracks_are_called_as_published(tmp_path: Path, name: str) -> None:
    found = find_tracks(COLLECTIONS[name], put(tmp_path, *NAMED[name]), AUDIO)
    assert {str(t.path.relative_to(tmp_path)): (t.id, t.columns) for t in found.tracks} == NAMED[name]
    assert (found.missing, found.passed_over) == ([], 0)
    for _, columns in NAMED[name].values():
        assert set(columns) <= set(COLLECTIONS[name].extra)


@pytest.mark.parametrize("name", STRANGERS)
def test_other_files_are_counted(tmp_path: Path, name: str) -> None:
    put(tmp_path, *NAMED[name], STRANGERS[name], "LICENSE.txt")
    found = find_tracks(COLLECTIONS[name], tmp_path, AUDIO)
    assert (len(found.tracks), found.passed_over) == (len(NAMED[name]), 2)


@pytest.mark.parametrize("name", ["sdd", "musiccaps"])
def test_every_published_id_follows_the_rule(tmp_path: Path, name: str) -> None:
    rows, collection = read_rows(published(name)), COLLECTIONS[name]
    assert rows.columns == collection.columns
    assert len(rows.by_id) == collection.published
    stems = [key.split("_", 1)[1].removesuffix(".wav") for key in rows.by_id]
    assert {track.id for stem in stems if (track := collection.track(tmp_path / f"{stem}.mp3"))} == set(rows.by_id)


def test_a_list_says_which_tracks_in_which_order_and_what_is_known_of_them(tmp_path: Path) -> None:
    put(tmp_path, "1.2min.mp3", "2.2min.mp3", "3.2min.mp3")
    found = find_tracks(COLLECTIONS["sdd"], tmp_path, AUDIO, listing("sdd_3.2min", "sdd_9.2min", "sdd_1.2min", key="C"))
    assert [track.id for track in found.tracks] == ["sdd_3.2min", "sdd_1.2min"]
    assert (found.missing, found.passed_over) == (["sdd_9.2min"], 1)
    assert found.tracks[0].columns["key"] == "C"


def test_one_track_in_two_files_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a/1.2min.mp3", "b/1.2min.wav")
    with pytest.raises(ValueError, match=r"a/1\.2min\.mp3 and .*b/1\.2min\.wav are both track sdd_1\.2min"):
        find_tracks(COLLECTIONS["sdd"], tmp_path, AUDIO)


def test_a_folder_without_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"audio_root: .*none is not a folder"):
        find_tracks(COLLECTIONS["sdd"], tmp_path / "none", AUDIO)
    put(tmp_path, "song.mp3")
    with pytest.raises(ValueError, match="has no track of sdd, whose files are called"):
        find_tracks(COLLECTIONS["sdd"], tmp_path, AUDIO)
    put(tmp_path, "1.2min.mp3")
    with pytest.raises(ValueError, match="has no track of sdd"):
        find_tracks(COLLECTIONS["sdd"], tmp_path, AUDIO, listing("sdd_2.2min"))
