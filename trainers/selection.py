"""Which of the heads that a run kept are combined into one checkpoint."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trainers.config import ExportConfig
from trainers.run_folder import RunFolder, ranked
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.ensemble import kind_of
from tunejury_jax.errors import one_of

__all__ = ["Candidates", "KeptHead", "Selection", "select"]

KEEP = "--keep of the sweep decides how many are kept"


class KeptHead(NamedTuple):
    """A head of a run; its validation loss is in nats a pair."""

    trial: int
    valid_loss: float
    checkpoint: Checkpoint


class Selection(NamedTuple):
    """Heads to combine, and what was left out of account; empty where nothing was."""

    heads: list[KeptHead]
    left_out: str

    def lines(self) -> Iterator[str]:
        """What to say of it."""
        for head in self.heads:
            yield f"trial {head.trial}: validation loss {head.valid_loss:.4f}"
        if self.left_out:
            yield self.left_out


def select(config: ExportConfig, folder: RunFolder) -> Selection | None:
    """The heads that an export asks for; None where it asks for the run's best head.

    Raises:
        ValueError: The run did not keep them; says what it has.
    """
    if config.top is not None:
        return Candidates(folder).top(config.top)
    if config.trials:
        return Candidates(folder).trials(config.trials)
    return None if config.head is None else Candidates(folder).seeds(config.head)


class Candidates:
    """The heads of a run whose weights are in its folder, lowest validation loss first."""

    def __init__(self, folder: RunFolder) -> None:
        if not folder.trials.is_file():
            raise ValueError(f"run: {folder.path} has no {folder.trials.name}; expected the folder of a run")
        self._folder = folder
        self._trials = [json.loads(line) for line in folder.trials.read_text().splitlines()]
        self._kept = [trial for trial in ranked(self._trials) if (folder.heads / str(trial["trial"])).is_dir()]

    def top(self, count: int) -> Selection:
        """The best heads of the kind of the best one.

        Raises:
            ValueError: Fewer are kept.
        """
        alike: list[KeptHead] = []
        others = 0
        for head in map(self._load, self._kept):
            if alike and kind_of(head.checkpoint) != kind_of(alike[0].checkpoint):
                others += 1
                continue
            alike.append(head)
            if len(alike) == count:
                passed_over = f"{others} better heads of other widths, blocks or data than the best one's passed over"
                return Selection(alike, passed_over if others else "")
        raise ValueError(
            f"top: got {count}, the run kept {len(alike)} heads of the widths, blocks and data of its best one, and "
            f"{others} others; {KEEP}"
        )

    def trials(self, numbers: Sequence[int]) -> Selection:
        """Heads by the numbers of their trials.

        Raises:
            ValueError: One is not kept.
        """
        kept = {trial["trial"]: trial for trial in self._kept}
        if missing := [number for number in numbers if number not in kept]:
            raise ValueError(f"trials: {_listed(missing)} not kept, the run kept {_listed(sorted(kept))}; {KEEP}")
        return Selection([self._load(kept[number]) for number in numbers], "")

    def seeds(self, name: str) -> Selection:
        """All seeds of one head of a preset, those aside that failed.

        Raises:
            ValueError: The run has no such head, all its seeds failed, or one is not kept.
        """
        names = sorted({trial["params"].get("head", "") for trial in self._trials} - {""})
        if not names:
            raise ValueError(f"head: got {name!r}, but {self._folder.path} is not the run of a preset")
        seeds = [trial for trial in self._trials if trial["params"].get("head") == one_of("head", name, names)]
        finished = ranked(seeds)
        if not finished:
            raise ValueError(f"head: all {len(seeds)} seeds of {name!r} failed")
        failed = len(seeds) - len(finished)
        heads = self.trials([trial["trial"] for trial in finished]).heads
        return Selection(heads, f"{failed} of {len(seeds)} seeds failed" if failed else "")

    def _load(self, trial: Mapping[str, Any]) -> KeptHead:
        folder = self._folder.heads / str(trial["trial"])
        return KeptHead(trial["trial"], trial["valid_loss"], Checkpoint.load(folder))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
