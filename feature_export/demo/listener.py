"""The listener who labels the demo pairs: right most of the time, and blind to which side is which."""

from dataclasses import replace

import numpy as np

from tunejury_jax.pairs import Label, Pair

__all__ = ["mirrored", "present"]

OPPOSITE: dict[Label, Label] = {"a": "b", "b": "a", "tie": "tie", "both_bad": "both_bad"}


def mirrored(pair: Pair) -> Pair:
    """The same comparison with its sides exchanged."""
    return replace(
        pair,
        audio_a=pair.audio_b,
        audio_b=pair.audio_a,
        system_a=pair.system_b,
        system_b=pair.system_a,
        label=OPPOSITE[pair.label],
    )


def present(pair: Pair, flip_rate: float, rng: np.random.Generator) -> Pair:
    """Puts a pair with its true label to the listener.

    Args:
        flip_rate: Probability of a wrong answer, where there is a better side.

    Returns:
        The pair with tossed sides and the label that the listener gave.
    """
    tossed = mirrored(pair) if rng.random() < 0.5 else pair
    wrong = rng.random() < flip_rate
    return replace(tossed, label=OPPOSITE[tossed.label]) if wrong else tossed
