"""Sanity ladders: whether scores fall as clips are made worse, step by step, and what they say of what is no music.

Five of them: signals at the boundary of music; noise and clipping; length; a bad segment inside a good clip; time
reversal. They need clips and a score; what the score refuses is reported as such.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tunejury_jax.evaluation.signals import RATE_HZ, add_noise, boundary_signals, hard_clip, white_noise

__all__ = ["climb", "fits", "ladders"]

CLIP_S = 10
SNR_DB = (40, 20, 10, 5, 0)
CLIPPING = (0.5, 0.1, 0.05, 0.02)
LENGTHS_S = (1, 3, 5, 10, 15, 20, 30, 45, 60, 120)
SEGMENTS, BAD_SEGMENT, HOP_S = 5, 2, 5
BAD_NOISE_DBFS = -26.0

Samples = Float[np.ndarray, " _"]
Score = Callable[[Samples, int], float]
Damage = Callable[[Samples, Any], Samples]


def ladders(clips: Sequence[Samples], score: Score, seed: int = 0) -> dict[str, Any]:
    """Climbs all five.

    Args:
        clips: At 16 kHz, at least one, of any length; ladders but that of length use the first 10 s.
        score: Of samples and their rate in Hz.
        seed: Of the noise.

    Returns:
        `boundary`, `snr`, `clipping`, `length`, `segment` and `reversal`.

    Raises:
        ValueError: There is no clip, or one is empty or not finite.
    """
    _check(clips)
    short = [clip[: CLIP_S * RATE_HZ] for clip in clips]
    bad = {"silence": np.zeros(CLIP_S * RATE_HZ), "noise": white_noise(CLIP_S * RATE_HZ, BAD_NOISE_DBFS, seed)}
    boundary = boundary_signals(CLIP_S * RATE_HZ, seed)
    return {
        "boundary": [{"input": name, **_scored(score, signal)} for name, signal in boundary.items()],
        "snr": climb(short, score, SNR_DB, lambda clip, db: add_noise(clip, db, seed)),
        "clipping": climb(short, score, CLIPPING, hard_clip),
        "length": _lengths(clips, score),
        "segment": {name: _segment(short, score, signal) for name, signal in bad.items()},
        "reversal": _reversal(short, score),
    }


def climb(clips: Sequence[Samples], score: Score, levels: Sequence[float | int], damage: Damage) -> dict[str, Any]:
    """Scores the clips clean and at each level of a damage, mild to severe.

    Returns:
        `rungs`, clean first, each with its `level`, the `scores`, their `mean` and `std`; `monotone`, whether the mean
        falls strictly from rung to rung; and `monotone_clips`, the share of clips whose scores do.
    """
    rungs = [_rung("clean", [score(clip, RATE_HZ) for clip in clips])]
    rungs += [_rung(level, [score(damage(clip, level), RATE_HZ) for clip in clips]) for level in levels]
    steps = np.diff([rung["scores"] for rung in rungs], axis=0)
    monotone = bool((np.diff([rung["mean"] for rung in rungs]) < 0).all())
    return {"rungs": rungs, "monotone": monotone, "monotone_clips": float((steps < 0).all(0).mean())}


def fits(document: Mapping[str, Any]) -> dict[str, bool]:
    """Whether each ladder shows what is expected of a head that hears: falls, the bad window found, time's arrow."""
    return {
        "snr": document["snr"]["monotone"],
        "clipping": document["clipping"]["monotone"],
        "segment": all(found["found"] for found in document["segment"].values()),
        "reversal": document["reversal"]["mean_difference"] > 0,
    }


def _lengths(clips: Sequence[Samples], score: Score) -> dict[str, Any]:
    """Each length by the clips that are so long, so means of different lengths may be of different clips."""
    rungs = []
    for seconds in LENGTHS_S:
        long_enough = [clip[: seconds * RATE_HZ] for clip in clips if len(clip) >= seconds * RATE_HZ]
        if long_enough:
            rungs.append(_rung(seconds, [score(clip, RATE_HZ) for clip in long_enough]))
    return {"rungs": [*rungs, _rung("full", [score(clip, RATE_HZ) for clip in clips])]}


def _segment(clips: Sequence[Samples], score: Score, bad: Samples) -> dict[str, Any]:
    """Five clips in a row, the third replaced by something bad: whether the worst window is the one that is all bad."""
    parts = [np.resize(clips[i % len(clips)], CLIP_S * RATE_HZ) for i in range(SEGMENTS)]
    parts[BAD_SEGMENT] = bad
    whole, starts = np.concatenate(parts), range(0, (SEGMENTS - 1) * CLIP_S + 1, HOP_S)
    scores = [score(whole[start * RATE_HZ : (start + CLIP_S) * RATE_HZ], RATE_HZ) for start in starts]
    worst = starts[int(np.argmin(scores))]
    windows = [{"start_s": start, "score": float(found)} for start, found in zip(starts, scores, strict=True)]
    return {"windows": windows, "worst_start_s": worst, "found": worst == BAD_SEGMENT * CLIP_S}


def _reversal(clips: Sequence[Samples], score: Score) -> dict[str, Any]:
    forth, back = (np.array([score(clip[::step], RATE_HZ) for clip in clips]) for step in (1, -1))
    return {
        "forward": _rung("forward", list(forth)),
        "backward": _rung("backward", list(back)),
        "mean_difference": float((forth - back).mean()),
        "worse_backward": float((forth > back).mean()),
    }


def _rung(level: float | int | str, scores: Sequence[float]) -> dict[str, Any]:
    values = np.array(scores, np.float64)
    return {"level": level, "mean": float(values.mean()), "std": float(values.std()), "scores": values.tolist()}


def _scored(score: Score, signal: Samples) -> dict[str, Any]:
    try:
        return {"score": float(score(signal, RATE_HZ)), "refused": None}
    except ValueError as error:
        return {"score": None, "refused": str(error)}


def _check(clips: Sequence[Samples]) -> None:
    if not clips:
        raise ValueError("clips: expected at least one, got none")
    for number, clip in enumerate(clips):
        if not len(clip) or not np.isfinite(clip).all():
            raise ValueError(f"clips[{number}]: expected finite samples, at least one")
