"""A training loop built the way the published one is: a file a pair, a DataLoader, two forward passes a step.

    python -m benchmarks.upstream_loop --folder DIR

Serves a benchmark: each line of standard input names a rival of which one epoch is run, and the epoch's means are
answered as a line of JSON. It is a process of its own because its loader forks, which a process that has started JAX
must not do. Waiting for a line costs nothing.

The published loader unpickles whatever a file holds, which is quicker, but not done here: its loader alone takes a
quarter less time then, its epoch as long as before, since the loader works ahead.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.torch_rivals import PublishedHead
from tunejury_jax.console import command

__all__ = ["BATCH", "LOADER", "RESIDENT", "UPSTREAM", "UpstreamLoop", "main", "write_pair"]

UPSTREAM = "torch, a file a pair"
LOADER = "the same, loader alone"
RESIDENT = "torch, data resident"

CLIP_DIM, PROMPT_DIM = 512 + 1024, 512
BATCH = 32

FEATURES = ("text_emb", "clap_a", "mert_a", "clap_b", "mert_b", "flag")
WINNERS = {1.0: "model_a", 0.5: "tie", 0.0: "model_b"}
TARGETS = {winner: target for target, winner in WINNERS.items()}

PairTensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class UpstreamLoop:
    """Where the pairs are and how they are loaded."""

    folder: Path
    """Has `train` and `valid`, folders of files of `write_pair`."""
    workers: int = 4
    """Processes of each DataLoader."""


def main(config: UpstreamLoop) -> None:
    """Answers standard input until it ends."""
    torch.manual_seed(0)
    rivals = _rivals(config)
    for line in sys.stdin:
        print(json.dumps(rivals[line.strip()]()), flush=True)


def write_pair(path: Path, a: Sequence[Tensor], b: Sequence[Tensor], text: Tensor, target: float) -> None:
    """Writes a pair as the published code stores it.

    Args:
        path: The file.
        a: CLAP, then MERT features of side a.
        b: Those of side b.
        text: Features of the prompt.
        target: P(a preferred): 0, .5 or 1.
    """
    features = {"text_emb": text, "clap_a": a[0], "mert_a": a[1], "clap_b": b[0], "mert_b": b[1]}
    # A view would be saved with all that it is a view of.
    copies = {name: value.clone() for name, value in features.items()}
    facts = {"winner": WINNERS[target], "source": "AIME", "prompt": "calm piano music", "uuid": path.stem}
    torch.save({**copies, "flag": torch.ones(1), **facts}, path)


class PairFiles(Dataset[dict[str, Any]]):
    """Pairs of which each is read from its own file when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = sorted(path.stem for path in folder.glob("*.pt"))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = self.ids[index]
        found = torch.load(self.folder / f"{name}.pt", map_location="cpu", weights_only=True)
        features = {key: found[key].float().reshape(-1) for key in FEATURES}
        return {**features, "target": torch.tensor([TARGETS[found["winner"]]]), "uuid": name}


class ResidentPairs:
    """Batches of pairs that are in memory."""

    def __init__(self, files: PairFiles, shuffle: bool) -> None:
        self.pairs = default_collate([files[index] for index in range(len(files))])
        del self.pairs["uuid"]
        self.count, self.shuffle = len(files), shuffle

    def __iter__(self) -> Iterator[PairTensors]:
        order = torch.randperm(self.count) if self.shuffle else torch.arange(self.count)
        for rows in order.split(BATCH):
            yield {name: values[rows] for name, values in self.pairs.items()}


class Loop:
    """A head and its optimiser, trained and validated on batches of pairs."""

    def __init__(self, train: Iterable[PairTensors], valid: Iterable[PairTensors]) -> None:
        self.train, self.valid = train, valid
        self.head = PublishedHead(CLIP_DIM, PROMPT_DIM)
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=1e-4, weight_decay=1e-3)

    def epoch(self) -> dict[str, float]:
        """Means over the pairs of the epoch."""
        self.head.train()
        trained = self._pass(self.train, self._step)
        self.head.eval()
        with torch.no_grad():
            validated = self._pass(self.valid, lambda loss: None)
        return {f"train_{k}": v for k, v in trained.items()} | {f"valid_{k}": v for k, v in validated.items()}

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def _pass(self, batches: Iterable[PairTensors], learn: Callable[[Tensor], None]) -> dict[str, float]:
        loss_sum, right, decisive, count = 0.0, 0, 0, 0
        for batch in batches:
            target = batch["target"].view(-1)
            margin = self.head.margin(_side(batch, "a"), _side(batch, "b"))
            loss = F.binary_cross_entropy_with_logits(margin, target)
            learn(loss)
            loss_sum += loss.item() * len(target)
            judged = target != 0.5
            right += int(((margin[judged] > 0).float() == target[judged]).sum())
            decisive, count = decisive + int(judged.sum()), count + len(target)
        return {"loss": loss_sum / count, "accuracy": right / max(decisive, 1)}


def _rivals(config: UpstreamLoop) -> dict[str, Callable[[], dict[str, float]]]:
    train, valid = (PairFiles(config.folder / split) for split in ("train", "valid"))
    loaders = [
        DataLoader(files, batch_size=BATCH, shuffle=files is train, num_workers=config.workers)
        for files in (train, valid)
    ]
    resident = ResidentPairs(train, shuffle=True), ResidentPairs(valid, shuffle=False)

    def load() -> dict[str, float]:
        return {"batches": sum(1 for loader in loaders for _ in loader)}

    return {UPSTREAM: Loop(*loaders).epoch, LOADER: load, RESIDENT: Loop(*resident).epoch}


def _side(batch: PairTensors, side: str) -> Tensor:
    return torch.cat([batch[f"clap_{side}"], batch[f"mert_{side}"], batch["text_emb"]], dim=1)


if __name__ == "__main__":
    command("python -m benchmarks.upstream_loop", UpstreamLoop, main)
