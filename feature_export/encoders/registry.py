"""The encoder families that users name, and stacks made of them.

A family is what one `--encoders` name stands for: an audio encoder and the text encoder that goes with it. It makes
its encoders from a `SignalPath`, so weights shared by both sides are loaded once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_export.audio import SignalPath
from feature_export.encoders.mel import MelBaseline
from feature_export.encoders.ngram import NgramBaseline
from feature_export.encoders.protocol import AudioEncoder, TextEncoder
from feature_export.encoders.signal import SignalFacts
from feature_export.encoders.stack import Stack
from tunejury_jax.errors import one_of

__all__ = ["FAMILIES", "Family", "load_stack", "stack_from_provenance"]

_NOTHING = "(nothing)"

Encoders = tuple[tuple[AudioEncoder, ...], tuple[TextEncoder, ...]]


@dataclass(frozen=True)
class Family:
    """Encoders that are chosen together.

    Attributes:
        blocks: Names of the blocks they fill.
        make: Builds audio and text encoders for a signal path; may take seconds and memory.
    """

    blocks: tuple[str, ...]
    make: Callable[[SignalPath], Encoders]


FAMILIES: dict[str, Family] = {
    "mel": Family(
        blocks=(MelBaseline.block.name, NgramBaseline.block.name),
        make=lambda path: ((MelBaseline(path),), (NgramBaseline(),)),
    ),
}


def load_stack(families: Sequence[str], path: SignalPath) -> Stack:
    """Makes the stack of some families.

    Args:
        families: Keys of `FAMILIES`, each once.
        path: The signal path of all audio encoders.

    Raises:
        ValueError: No family is given, one is unknown or given twice.
    """
    for family in families:
        one_of("encoders", family, tuple(FAMILIES))
    if not families or len(set(families)) != len(families):
        raise ValueError(f"encoders: expected at least one of {sorted(FAMILIES)}, each once, got {list(families)}")
    return _joined([FAMILIES[family].make(path) for family in families], path)


def stack_from_provenance(provenance: Mapping[str, Mapping[str, Any]]) -> Stack:
    """Rebuilds the stack whose features a store or a checkpoint holds.

    Args:
        provenance: By block, as `Stack.provenance` returned it and JSON kept it; `signal` may be missing.

    Raises:
        ValueError: A block or a switch is unknown, the blocks disagree on the signal path, or the encoders of this
            version would make other features; lists every field that differs.
    """
    known = {block: family for family in FAMILIES.values() for block in family.blocks}
    wanted = [one_of("block", block, (*known, SignalFacts.block.name)) for block in provenance]
    path = _recorded_path(provenance)
    needed = [family for family in FAMILIES.values() if set(family.blocks) & set(wanted)]
    stack = _joined([_only(family.make(path), wanted) for family in needed], path)
    differences = list(_differences(provenance, stack.provenance()))
    if differences:
        raise ValueError("provenance: this version would make other features: " + "; ".join(differences))
    return stack


def _joined(parts: Sequence[Encoders], path: SignalPath) -> Stack:
    audio = tuple(encoder for part in parts for encoder in part[0])
    text = tuple(encoder for part in parts for encoder in part[1])
    return Stack(audio, text, path)


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
        for field in sorted({*fields, *made[block]}):
            old, new = fields.get(field, _NOTHING), made[block].get(field, _NOTHING)
            if old != new:
                yield f"{block}.{field}: recorded {old!r}, this version makes {new!r}"
