"""The encoder families that users name, and stacks made of them.

A family is what one `--encoders` name stands for: an audio encoder and the text encoder that goes with it. It makes
its encoders from a `SignalPath`, so weights shared by both sides are loaded once.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_export.audio import SignalPath
from feature_export.encoders.compute import Compute
from feature_export.encoders.mel import MelBaseline
from feature_export.encoders.ngram import NgramBaseline
from feature_export.encoders.protocol import AudioEncoder, TextEncoder
from feature_export.encoders.signal import SignalFacts
from feature_export.encoders.stack import Stack
from tunejury_jax.errors import one_of
from tunejury_jax.provenance import comparable

__all__ = ["FAMILIES", "Family", "load_stack", "stack_from_provenance"]

_NOTHING = "(nothing)"

Encoders = tuple[tuple[AudioEncoder, ...], tuple[TextEncoder, ...]]


@dataclass(frozen=True)
class Family:
    """Encoders that are chosen together.

    Attributes:
        blocks: Names of the blocks they fill.
        make: Builds audio and text encoders for a signal path and a device; may take seconds and memory.
        backend: Whose code runs the networks, for blocks that several families fill.
    """

    blocks: tuple[str, ...]
    make: Callable[[SignalPath, Compute], Encoders]
    backend: str = "native"


def _module(name: str) -> Callable[[SignalPath, Compute], Encoders]:
    """`make` of a module of this package, imported when it is called: importing transformers takes seconds."""
    return lambda path, compute: importlib.import_module(f"feature_export.encoders.{name}").make(path, compute)


FAMILIES: dict[str, Family] = {
    "mel": Family(
        blocks=(MelBaseline.block.name, NgramBaseline.block.name),
        make=lambda path, compute: ((MelBaseline(path),), (NgramBaseline(),)),
    ),
    "clap": Family(("clap_audio", "clap_text"), _module("clap")),
    "mert": Family(("mert",), _module("mert")),
    "muq": Family(("muq_audio", "muq_text"), _module("muq")),
    "clap:laion": Family(("clap_audio", "clap_text"), _module("clap_laion"), backend="laion-clap"),
    "muq:package": Family(("muq_audio", "muq_text"), _module("muq_package"), backend="muq"),
}


def load_stack(families: Sequence[str], path: SignalPath, compute: Compute | None = None) -> Stack:
    """Makes the stack of some families.

    Args:
        families: Keys of `FAMILIES`, each once.
        path: The signal path of all audio encoders.
        compute: Where and how the networks run; by default on the CPU in float32.

    Raises:
        ValueError: No family is given, one is unknown or given twice, two fill the same block, or weights are not
            there or damaged.
    """
    for family in families:
        one_of("encoders", family, tuple(FAMILIES))
    if not families or len(set(families)) != len(families):
        raise ValueError(f"encoders: expected at least one of {list(FAMILIES)}, each once, got {list(families)}")
    compute = compute or Compute()
    return _joined([FAMILIES[family].make(path, compute) for family in families], path, compute.device)


def stack_from_provenance(provenance: Mapping[str, Mapping[str, Any]], device: str | None = None) -> Stack:
    """Rebuilds the stack whose features a store or a checkpoint holds.

    Args:
        provenance: By block, as `Stack.provenance` returned it and JSON kept it; `signal` may be missing.
        device: Where the networks run; by default a GPU if there is one.

    Raises:
        ValueError: A block or a switch is unknown, the blocks disagree on the signal path, or the encoders of this
            version would make other features; lists every field that differs.
    """
    wanted = {block: _family(block, fields) for block, fields in provenance.items() if block != SignalFacts.block.name}
    path = _recorded_path(provenance)
    device = device or Compute.best().device
    parts = [
        _only(FAMILIES[name].make(path, _compute(provenance[own[0]], device)), own)
        for name in dict.fromkeys(wanted.values())
        if (own := [block for block, family in wanted.items() if family == name])
    ]
    stack = _joined(parts, path, device)
    differences = list(_differences(provenance, stack.provenance()))
    if differences:
        raise ValueError("provenance: this version would make other features: " + "; ".join(differences))
    return stack


def _family(block: str, fields: Mapping[str, Any]) -> str:
    """The family that fills a block with the recorded code."""
    makers = {family.backend: name for name, family in FAMILIES.items() if block in family.blocks}
    if not makers:
        one_of("block", block, (*(b for family in FAMILIES.values() for b in family.blocks), SignalFacts.block.name))
    return makers[one_of(f"{block}.backend", fields.get("backend", "native"), tuple(makers))]


def _compute(fields: Mapping[str, Any], device: str) -> Compute:
    return Compute(device, autocast=fields.get("dtype") == Compute(autocast=True).dtype)


def _joined(parts: Sequence[Encoders], path: SignalPath, device: str) -> Stack:
    audio = tuple(encoder for part in parts for encoder in part[0])
    text = tuple(encoder for part in parts for encoder in part[1])
    return Stack(audio, text, path, device)


def _only(part: Encoders, blocks: Sequence[str]) -> Encoders:
    audio = tuple(encoder for encoder in part[0] if encoder.block.name in blocks)
    return audio, tuple(encoder for encoder in part[1] if encoder.block.name in blocks)


def _recorded_path(provenance: Mapping[str, Mapping[str, Any]]) -> SignalPath:
    recorded = {block: fields["signal_path"] for block, fields in provenance.items() if "signal_path" in fields}
    paths = {block: SignalPath.of(switches) for block, switches in recorded.items()}
    if len(set(paths.values())) > 1:
        raise ValueError(f"signal_path: blocks of one stack share one, got {recorded}")
    return next(iter(paths.values()), SignalPath())


def _differences(recorded: Mapping[str, Mapping[str, Any]], made: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for block, fields in recorded.items():
        ours = comparable(made[block], fields)
        for field in sorted({*fields, *ours}):
            old, new = fields.get(field, _NOTHING), ours.get(field, _NOTHING)
            if old != new:
                yield f"{block}.{field}: recorded {old!r}, this version makes {new!r}"
