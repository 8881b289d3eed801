"""Features that upstream extracted, one `.pt` a pair, as a sealed store: the same bits, and no audio needed.

Two passes over the files: the first checks all of them and learns the pairs, the second writes the store block by
block. An import that was killed goes on with the blocks that have no commit. Clips are kept by pair, since the files
do not say which are the same; how many are is reported.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from feature_export.pt_file import SIDES, SOURCES, PtFile, read_pt
from feature_export.sources.listed import Listed
from tunejury_jax.blocks import Block, Layout
from tunejury_jax.pairs import Clip, Pair
from tunejury_jax.progress import progress
from tunejury_jax.splits import assign_by_clip
from tunejury_jax.store import EncoderSpec, FeatureStore, plan_store, seal_store, write_block

__all__ = ["BACKEND", "import_pt"]

BACKEND = "imported from upstream .pt"
"""The backend of no encoder here: no encoder takes itself for the one that made these features."""
BLOCK_ROWS = 1024
AUDIO = {"clap_audio": "clap", "mert": "mert"}
"""Clip block -> what its vectors are called, less the side."""
EXTRACTION = {
    "clap_audio": {
        "weights": "music_audioset_epoch_15_esc_90.14.pt",
        "sample_rate_hz": 48_000,
        "signal_path": {"crop": "random", "train16k": True, "int16": False},
        "pooling": "10 s at a place that was not recorded",
    },
    "mert": {
        "weights": "m-a-p/MERT-v1-330M",
        "sample_rate_hz": 24_000,
        "pooling": "last hidden state, mean over time",
    },
    "clap_text": {"weights": "music_audioset_epoch_15_esc_90.14.pt", "pooling": "text projection"},
}
"""What upstream's extraction does, by its source; the files themselves do not say."""


class _Prompt(NamedTuple):
    path: Path
    vector: Float[np.ndarray, " _"]


@dataclass
class _Survey:
    """What the first pass learns.

    Attributes:
        folder: Of the files.
        pairs: By id.
        sha256: Of the file, by id of its pair.
        contents: Clip key -> digest of its vectors.
        prompts: By text.
    """

    folder: Path
    pairs: dict[str, Pair]
    sha256: dict[str, str]
    contents: dict[str, str]
    prompts: dict[str, _Prompt]

    def take(self, path: Path) -> None:
        """Notes a file; refuses a prompt that has another vector in an earlier one."""
        pair, vectors, sha256 = read_pt(path)
        self.pairs[pair.id], self.sha256[pair.id] = pair, sha256
        for side, clip in zip(SIDES, (pair.clip_a, pair.clip_b), strict=True):
            digest = hashlib.sha256(b"".join(vectors[f"{name}_{side}"].tobytes() for name in AUDIO.values()))
            self.contents[clip.key] = digest.hexdigest()
        if pair.prompt.strip():
            self._take_prompt(pair.prompt, _Prompt(path, vectors["text_emb"]))

    def _take_prompt(self, text: str, prompt: _Prompt) -> None:
        first = self.prompts.setdefault(text, prompt)
        if first.vector.tobytes() != prompt.vector.tobytes():
            apart = np.abs(first.vector - prompt.vector).max()
            raise ValueError(
                f"{prompt.path}: text_emb: the prompt {text!r:.100} has another vector in {first.path}, "
                f"they differ by up to {apart:.3g}"
            )

    def again(self, pair_id: str) -> PtFile:
        """Reads a file once more; refuses one that is not the same."""
        path = self.folder / f"{pair_id}.pt"
        found = read_pt(path)
        if found.sha256 != self.sha256[pair_id]:
            raise ValueError(f"{path}: changed while it was imported")
        return found

    @property
    def digest(self) -> str:
        """Of the names and contents of all files."""
        lines = (f"{sha256}  {pair_id}.pt\n" for pair_id, sha256 in sorted(self.sha256.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def import_pt(features: Path, out: str, splits: Path | None = None, block_rows: int = BLOCK_ROWS) -> FeatureStore:
    """Imports a folder of feature files into a sealed store; the same again continues where it stopped.

    Args:
        features: Folder with `<id>.pt`.
        out: The store: a folder or a bucket URL.
        splits: Folder of the published split files, or one split file of all pairs. Without it pairs are split
            80/10/10, and no two splits have a clip with the same features.
        block_rows: Rows committed at a time.

    Raises:
        ValueError: No file, one that is not as published, a prompt with two vectors, or split files of other pairs.
        StoreError: A store with another plan stands there.
    """
    survey = _survey(features)
    pairs = sorted(survey.pairs.values(), key=lambda pair: (SOURCES.index(pair.source), pair.id))
    pairs = _by_content(pairs, survey.contents) if splits is None else list(_listed(pairs, splits))
    _report(survey, pairs)
    store = plan_store(out, pairs, _specs(survey), block_rows=block_rows)
    _write_clips(store, survey)
    _write_prompts(store, survey)
    seal_store(store)
    return store


def _survey(folder: Path) -> _Survey:
    files = sorted(folder.glob("*.pt"))
    if not files:
        raise ValueError(f"features: {folder}: holds no .pt files")
    survey = _Survey(folder, {}, {}, {}, {})
    with progress("check", len(files), "files") as advance:
        for file in files:
            survey.take(file)
            advance(1)
    return survey


def _by_content(pairs: Sequence[Pair], contents: Mapping[str, str]) -> list[Pair]:
    """Clips are called by what they hold, whatever their source."""
    named = [Pair(p.id, "", contents[p.clip_a.key], contents[p.clip_b.key], p.label) for p in pairs]
    return [replace(pair, split=by.split) for pair, by in zip(pairs, assign_by_clip(named), strict=True)]


def _listed(pairs: Sequence[Pair], splits: Path) -> Iterator[Pair]:
    """Each source by its own file of the folder, or all by the one file."""
    sources = dict.fromkeys(pair.source for pair in pairs) if splits.is_dir() else [""]
    for source in sources:
        listed = Listed.read(splits, source)
        own = [pair for pair in pairs if source in ("", pair.source)]
        yield from listed.assign(own)
        _say(f"split ids of {listed.file.name}", listed.coverage(own))


def _report(survey: _Survey, pairs: Sequence[Pair]) -> None:
    _say("pairs", Counter(pair.source for pair in pairs))
    _say("labels", Counter(sorted(pair.label for pair in pairs)))
    _say("splits", Counter(sorted(str(pair.split) for pair in pairs)))
    different = len(set(survey.contents.values()))
    _say("clips", {"by pair": len(survey.contents), "different": different})
    unheard = sum(not prompt.vector.any() for prompt in survey.prompts.values())
    without = sum(not pair.prompt.strip() for pair in pairs)
    _say("prompts", {"different": len(survey.prompts), "of zeros": unheard, "pairs without": without})


def _say(name: str, counts: Mapping[str, int]) -> None:
    print(f"{name}: {', '.join(f'{key} {count}' for key, count in counts.items())}", file=sys.stderr)


def _specs(survey: _Survey) -> list[EncoderSpec]:
    origin = {"backend": BACKEND, "revision": "1", "files": len(survey.sha256), "files_sha256": survey.digest}
    return [EncoderSpec(block, _provenance(block, origin)) for block in Layout.of(EXTRACTION).blocks]


def _provenance(block: Block, origin: Mapping[str, object]) -> dict[str, object]:
    return {"encoder": block.name, **origin, **EXTRACTION[block.name], "dtype": "float32"}


def _write_clips(store: FeatureStore, survey: _Survey) -> None:
    clips = store.clips()
    pending = sorted({block for name in AUDIO for block in store.pending(name)})
    with progress("import", sum(len(range(*store.bounds("mert", block))) for block in pending), "clips") as advance:
        for block in pending:
            low, high = store.bounds("mert", block)
            rows = _rows(clips[low:high], survey)
            for name, values in rows.items():
                write_block(store, name, block, values, {})
            advance(high - low)


def _rows(clips: Sequence[Clip], survey: _Survey) -> dict[str, Float[np.ndarray, "rows _"]]:
    """The clip blocks of some clips, each file read once."""
    places = [clip.path.rsplit("-", 1) for clip in clips]
    files = {pair_id: survey.again(pair_id) for pair_id in dict.fromkeys(pair_id for pair_id, _ in places)}
    return {
        block: np.stack([files[pair_id].vectors[f"{name}_{side}"] for pair_id, side in places])
        for block, name in AUDIO.items()
    }


def _write_prompts(store: FeatureStore, survey: _Survey) -> None:
    prompts = store.prompts()
    for block in store.pending("clap_text"):
        low, high = store.bounds("clap_text", block)
        values = np.stack([survey.prompts[text].vector for text in prompts[low:high]])
        write_block(store, "clap_text", block, values, {})
