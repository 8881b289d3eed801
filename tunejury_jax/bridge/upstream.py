"""Published heads (`.pt`, with or without a `.json` beside it) as checkpoints, and checkpoints as published heads.

A published file says neither which blocks its input is made of, but for the `.json` of some, nor what made the features
it was trained on. Blocks are taken from the `.json`, or from the width of the input where only one choice of published
blocks has it; provenance is handed in.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunejury_jax.blocks import Layout
from tunejury_jax.bridge.weights import MODULES, Weights, read_weights, write_weights
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.documents import read_object, write_whole
from tunejury_jax.errors import one_of
from tunejury_jax.state_dict import from_state_dict, infer_config, to_state_dict
from tunejury_jax.store import FeatureStore

__all__ = ["export_head", "export_members", "find_layout", "import_head", "recorded_encoders"]

Encoders = Mapping[str, Mapping[str, Any]]

CLAP_MERT = ("clap_audio", "mert", "clap_text")
MUQ = ("muq_audio", "muq_text")
STACKS = {"net": (CLAP_MERT, MUQ), "score": (MUQ,)}
"""By the name of the Sequential: published heads read some of the blocks of one of these stacks."""

SIDECAR_NAMES = {"clap_audio": "clap_audio", "mert": "mert", "text": "clap_text"}
"""Upstream's names of the blocks in `exclude` -> ours."""

IMPORTED = "imported"
MAX_SIDECAR_BYTES = 1 << 16


def import_head(path: Path, blocks: Sequence[str], encoders_of: Callable[[Layout], Encoders]) -> Checkpoint:
    """Reads a published head.

    Args:
        path: Its `.pt` file.
        blocks: Published blocks that its input is made of; none to find out, see `find_layout`.
        encoders_of: Provenance, by block, of the features it is for.

    Raises:
        ValueError: The file is not a head, or its blocks are not known; says what to do.
    """
    weights = read_weights(path)
    config = infer_config(weights.state)
    layout = find_layout(path, weights.module, config.input_dim, blocks)
    imported = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "module": weights.module,
        "num_batches_tracked": list(weights.batches),
    }
    variables = from_state_dict(weights.state, config)
    return Checkpoint(config, layout, encoders_of(layout), variables, training={IMPORTED: imported})


def find_layout(path: Path, module: str, input_dim: int, blocks: Sequence[str] = ()) -> Layout:
    """The blocks that a published head reads: those given, those its `.json` leaves, or the only ones of its width.

    Raises:
        ValueError: These disagree, or several choices of blocks have the width; lists them.
    """
    beside = _sidecar_blocks(path.with_suffix(".json"), input_dim)
    if blocks and beside and {*blocks} != {*beside}:
        raise ValueError(f"blocks: got {list(blocks)}, the .json beside {path} says {list(beside)}")
    layout = Layout.of(blocks or beside or _only_choice(path, module, input_dim))
    if layout.dim != input_dim:
        raise ValueError(f"blocks: {list(layout.names)} have {layout.dim} columns, {path} reads {input_dim}")
    return layout


def recorded_encoders(location: str, layout: Layout) -> dict[str, Mapping[str, Any]]:
    """Provenance of the blocks of a layout, from a checkpoint folder or a feature store.

    Raises:
        ValueError: It is neither, or lacks a block.
    """
    if (Path(location) / "config.json").is_file():
        found = dict(Checkpoint.load(Path(location)).encoders)
    else:
        found = {name: spec.provenance for name, spec in FeatureStore.open(location).plan.encoders.items()}
    if missing := sorted(set(layout.names) - found.keys()):
        raise ValueError(f"encoders_from: {location} has no block {', '.join(missing)}; it has {sorted(found)}")
    return {name: found[name] for name in layout.names}


def export_head(checkpoint: Checkpoint, path: Path) -> None:
    """Writes a single head as upstream's code loads it, under the names it was imported with; `net` where it was not.

    Where upstream's names of the blocks left out can say which they are, a `.json` beside it does.

    Raises:
        ValueError: It is an ensemble, a file is there already, or the record of the import is damaged.
    """
    if checkpoint.members > 1:
        raise ValueError(
            f"{path}: a .pt file holds one head, the checkpoint has {checkpoint.members} members; "
            "python -m trainers.export --format torch writes a file a member"
        )
    sidecar = path.with_suffix(".json")
    for file in (path, sidecar):
        if file.exists():
            raise ValueError(f"{file}: exists already; name a new file")
    module, batches = _record(checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(path, Weights(to_state_dict(checkpoint.single), module, batches))
    if set(checkpoint.layout.names) <= {*CLAP_MERT}:
        left_out = sorted(theirs for theirs, ours in SIDECAR_NAMES.items() if ours not in checkpoint.layout.names)
        write_whole(sidecar, json.dumps({"input_dim": checkpoint.layout.dim, "exclude": left_out}, indent=2) + "\n")


def export_members(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes `head.pt`, or `member_0.pt`, `member_1.pt`, ... of an ensemble, whose score is the mean of theirs."""
    if checkpoint.members == 1:
        export_head(checkpoint, folder / "head.pt")
        return
    for number in range(checkpoint.members):
        export_head(checkpoint.member(number), folder / f"member_{number}.pt")


def _sidecar_blocks(path: Path, input_dim: int) -> tuple[str, ...]:
    """None where there is no sidecar."""
    if not path.is_file():
        return ()
    document = read_object(path, MAX_SIDECAR_BYTES)
    exclude = document.get("exclude")
    if not isinstance(exclude, list):
        raise ValueError(f"{path}: exclude is {exclude!r}, expected a list of {list(SIDECAR_NAMES)}")
    left_out = {SIDECAR_NAMES[one_of(f"{path}: exclude", name, tuple(SIDECAR_NAMES))] for name in exclude}
    if document.get("input_dim") != input_dim:
        raise ValueError(f"{path}: input_dim is {document.get('input_dim')!r}, the weights read {input_dim}")
    return tuple(name for name in CLAP_MERT if name not in left_out)


def _only_choice(path: Path, module: str, input_dim: int) -> tuple[str, ...]:
    choices = [names for names in _choices(module) if Layout.of(names).dim == input_dim]
    if len(choices) == 1:
        return choices[0]
    told = "; or ".join(f"--blocks {' '.join(names)}" for names in choices) or "--blocks with those it was trained on"
    raise ValueError(f"blocks: {path} reads {input_dim} columns and does not say which they are: {told}")


def _choices(module: str) -> Iterator[tuple[str, ...]]:
    for stack in STACKS[module]:
        for count in range(1, len(stack) + 1):
            yield from itertools.combinations(stack, count)


def _record(checkpoint: Checkpoint) -> tuple[str, tuple[int, ...]]:
    """Name of the Sequential and counts of batches as they were imported."""
    layers = len(checkpoint.head.widths)
    record = checkpoint.training.get(IMPORTED, {"module": MODULES[0], "num_batches_tracked": [0] * layers})
    if not isinstance(record, Mapping):
        raise ValueError(f"training.{IMPORTED}: got {record!r}, expected an object")
    module = one_of(f"training.{IMPORTED}.module", record.get("module"), MODULES)
    batches = record.get("num_batches_tracked")
    counts = batches if isinstance(batches, list) else []
    if len(counts) != layers or not all(type(count) is int and 0 <= count < 1 << 63 for count in counts):
        raise ValueError(f"training.{IMPORTED}.num_batches_tracked: got {batches!r}, expected {layers} counts")
    return module, tuple(counts)
