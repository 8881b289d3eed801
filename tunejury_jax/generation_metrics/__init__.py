"""What a generator's clips are like, from their embeddings: how far from a reference set, how true to their prompts,
how unlike each other. Without torch; `tunejury_jax.applications.clip_sets` reads embeddings of audio.

    fad(x, reference) -> Distance           Frechet distance of Gaussians
    fad_infinity(x, reference) -> Distance  the same, for infinitely many clips
    mad(x, reference, preset) -> Mad        -ln MAUVE
    clap_score(audio, text) -> Estimate     how well clips fit their captions
    mpcd(x) -> Estimate                     how unlike each other clips are

All have `value, low, high` (95 % interval), `n` and `to_json()`. Arrays are (clips, dim), of any float type, and are
reduced in float64.
"""

from tunejury_jax.generation_metrics.clap_score import clap_score
from tunejury_jax.generation_metrics.distance import Distance, Mad
from tunejury_jax.generation_metrics.fad import fad, fad_infinity
from tunejury_jax.generation_metrics.frechet import Gaussian, frechet_distance
from tunejury_jax.generation_metrics.mad import PRESETS, MadPreset, mad
from tunejury_jax.generation_metrics.mpcd import mpcd

__all__ = ["PRESETS", "Distance", "Gaussian", "Mad", "MadPreset", "clap_score", "fad", "fad_infinity"]
__all__ += ["frechet_distance", "mad", "mpcd"]
