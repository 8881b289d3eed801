"""Clips of a feature store: which are chosen, and their rows."""

from pathlib import Path

import numpy as np
import pytest
from sealed_store import seal

from tunejury_jax.blocks import Block
from tunejury_jax.generation_metrics.store_clips import store_captions, store_clips
from tunejury_jax.pairs import Pair
from tunejury_jax.selection import Selection
from tunejury_jax.store import EncoderSpec

MEL = EncoderSpec(Block("mel_baseline", 400, "clip"), {"encoder": "mel_baseline", "revision": "1"}, "float16")
CLAP = EncoderSpec(Block("clap_audio", 512, "clip"), {"encoder": "clap_audio", "revision": "1"})
TEXT = EncoderSpec(Block("clap_text", 512, "prompt"), {"encoder": "clap_text", "revision": "1"})
CLIPS = [f"{number}.wav" for number in range(6)]


def pair(number: int, a: int, b: int, prompt: str, systems: tuple[str, str], source: str = "One") -> Pair:
    return Pair(
        f"p{number}", source, CLIPS[a], CLIPS[b], "a", prompt=prompt, split="train" if number else "test",
        system_a=systems[0], system_b=systems[1],
    )  # fmt: skip


PAIRS = [
    pair(0, 0, 1, "jazz", ("old", "new")),
    pair(1, 0, 2, "rock", ("old", "new")),
    pair(2, 3, 1, "jazz", ("new", "new")),
    pair(3, 4, 5, "", ("old", "human"), source="Two"),
]
KEYS = ["One/0.wav", "One/1.wav", "One/2.wav", "One/3.wav", "Two/4.wav", "Two/5.wav"]


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = {"mel_baseline": (6, 400), "clap_audio": (6, 512), "clap_text": (2, 512)}
    made = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    made["mel_baseline"] = made["mel_baseline"].astype(np.float16)
    made["clap_audio"][2] = np.nan
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, values: dict[str, np.ndarray]) -> str:
    folder = tmp_path_factory.mktemp("metrics") / "store"
    seal(folder, PAIRS, [MEL, CLAP, TEXT], values, {"clap_audio": {2: "truncated"}})
    return str(folder)


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5]),
        (Selection(side="a"), [0, 3, 4]),
        (Selection(side="b", source="One"), [1, 2]),
        (Selection(system="old"), [0, 4]),
        (Selection(system="new"), [1, 2, 3]),
        (Selection(system="new", side="a"), [3]),
        (Selection(split="test"), [0, 1]),
        (Selection(split="train", system="old", source="Two"), [4]),
    ],
)
def test_clips_meet_every_condition(
    store: str, values: dict[str, np.ndarray], selection: Selection, rows: list[int]
) -> None:
    found = store_clips(store, "mel", selection)
    assert list(found.embeddings.ids) == [KEYS[row] for row in rows]
    assert np.array_equal(found.embeddings.values, values["mel_baseline"][rows].astype(np.float32))
    assert found.embeddings.provenance == MEL.provenance
    assert found.failed == {}


def test_ids_of_a_file(store: str, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("Two/5.wav\n\nOne/1.wav\n")
    assert store_clips(store, "mel", Selection(ids=ids)).embeddings.ids == ("One/1.wav", "Two/5.wav")
    ids.write_text("One/1.wav\nOne/9.wav\n")
    with pytest.raises(ValueError, match=r"ids: 1 keys are not in .*, the first is 'One/9\.wav'"):
        store_clips(store, "mel", Selection(ids=ids))


def test_failed_clips_are_told(store: str, values: dict[str, np.ndarray]) -> None:
    found = store_clips(store, "clap", Selection(source="One"))
    assert found.failed == {"One/2.wav": "truncated"}
    assert np.array_equal(found.embeddings.values, values["clap_audio"][[0, 1, 3]])


def test_captions_are_those_of_each_clip(store: str, values: dict[str, np.ndarray]) -> None:
    found, captions = store_captions(store, Selection())
    jazz, rock = values["clap_text"]  # prompts are sorted
    # Clip 0 was made for both; 2, for rock, failed; 4 and 5 have no prompt.
    assert found.embeddings.ids == ("One/0.wav", "One/0.wav", "One/1.wav", "One/3.wav")
    assert np.array_equal(captions, np.stack([jazz, rock, jazz, jazz]))
    assert found.failed == {"One/2.wav": "truncated"}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(source="Three"), "source: got 'Three', accepted are 'One', 'Two'"),
        (Selection(system="nobody"), "no clip meets Selection"),
    ],
)
def test_conditions_that_leave_nothing(store: str, selection: Selection, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store_clips(store, "mel", selection)


def test_what_a_store_does_not_hold(store: str) -> None:
    with pytest.raises(ValueError, match=r"holds no mert, but .*: give its audio"):
        store_clips(store, "mert", Selection())
    with pytest.raises(ValueError, match="holds no mert-max, but"):
        store_clips(store, "mert-max", Selection())
    with pytest.raises(ValueError, match="no clip that is chosen has a prompt"):
        store_captions(store, Selection(source="Two"))
    with pytest.raises(ValueError, match=r"no store\.json"):
        store_clips(store + "/nothing", "mel", Selection())
