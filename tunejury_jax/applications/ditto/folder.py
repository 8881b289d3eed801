"""The folder of a DITTO run: what made it, and of every prompt its clips and what became of it.

ditto.json          what was asked; a run that asks for something else is refused
before/ID.wav       the clip of iterate 0
after/ID.wav        the clip of the best iterate
outcomes/ID.json    written last: a prompt that has one, without an error, is finished
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.documents import as_json, read_object, write_json, write_whole
from tunejury_jax.store.plan import difference

__all__ = ["SIDES", "DittoFolder", "Outcome", "Start"]

SIDES = ("before", "after")
MANIFEST = "ditto.json"
MAX_BYTES = 1 << 24


class Start(NamedTuple):
    """A prompt and the seed of the noise that its clip is made from."""

    prompt: Prompt
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a prompt.

    Attributes:
        prompt_id: Of the prompt.
        prompt: Its text, without the prefix.
        seed: Of its noise.
        rewards: That were optimised, of every iterate.
        norms: Of the noise of every iterate, over that expected.
        best: The first iterate with the highest reward.
        before: Reward of the clip in `before`, by the Scorer; None where there is an error.
        after: Of the clip in `after`.
        error: None where there is none.
    """

    prompt_id: str
    prompt: str
    seed: int
    rewards: Sequence[float]
    norms: Sequence[float]
    best: int
    before: float | None = None
    after: float | None = None
    error: str | None = None

    @property
    def gain(self) -> float | None:
        """By how much the reward rose."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def deviation(self) -> float | None:
        """How far the clips' rewards are from those that were optimised, at most; float32 rounds in the files."""
        if self.before is None or self.after is None:
            return None
        return max(abs(self.before - self.rewards[0]), abs(self.after - self.rewards[self.best]))


class DittoFolder:
    """Where a run writes; opened again, it knows what is finished."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Opens a folder, or begins one.

        Args:
            path: The folder.
            identity: What makes the clips and their rewards; JSON.

        Raises:
            ValueError: What it holds was made otherwise; says how it differs.
        """
        self.path = path
        for name in (*SIDES, "outcomes"):
            (path / name).mkdir(parents=True, exist_ok=True)
        self._claim(as_json(dict(identity)))

    def clip(self, side: str, prompt_id: str) -> Path:
        """The clip of a prompt on one of the `SIDES`: of iterate 0, or of the best one."""
        return self.path / side / f"{prompt_id}.wav"

    def manifest(self, side: str) -> Path:
        """The clips of a side and what they were made for."""
        return self.path / f"{side}.jsonl"

    @property
    def page(self) -> Path:
        """To listen to all clips by."""
        return self.path / "listening.html"

    def outcome(self, start: Start) -> Outcome | None:
        """What became of a prompt, if it was looked at.

        Raises:
            ValueError: That was another text or seed under the same id, or the file is damaged.
        """
        path = self._outcome(start.prompt.id)
        if not path.exists():
            return None
        try:
            found = Outcome(**read_object(path, MAX_BYTES))
        except TypeError as error:
            raise ValueError(f"{path}: not an outcome: {error}") from error
        if (found.prompt, found.seed) != (start.prompt.text, start.seed):
            raise ValueError(
                f"{path}: of prompt {found.prompt!r} with seed {found.seed}, now {start.prompt.text!r} with seed "
                f"{start.seed}; name a new folder"
            )
        return found

    def write(self, outcome: Outcome) -> None:
        """Records what became of a prompt, after its clips were written."""
        write_json(self._outcome(outcome.prompt_id), asdict(outcome))

    def list_clips(self, outcomes: Sequence[Outcome]) -> None:
        """Writes the manifests: the prompts without an error, in order, and no prefix."""
        for side in SIDES:
            clips = (
                {"path": f"{side}/{each.prompt_id}.wav", "prompt": each.prompt} for each in outcomes if not each.error
            )
            write_whole(self.manifest(side), "".join(json.dumps(clip) + "\n" for clip in clips))

    def _outcome(self, prompt_id: str) -> Path:
        return self.path / "outcomes" / f"{prompt_id}.json"

    def _claim(self, identity: dict[str, Any]) -> None:
        path = self.path / MANIFEST
        if path.exists() and (lines := difference(read_object(path, MAX_BYTES), identity)):
            raise ValueError(f"out: {self.path} was made otherwise ({'; '.join(lines)}); name a new folder")
        write_json(path, identity)
