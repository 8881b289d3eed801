"""The smallest worker: a tone that fades, its pitch drawn from the seed. Copy it beside serve.py and make it yours."""

import array
import math
import random

from serve import serve  # beside this script  # type: ignore[import-not-found]

SAMPLE_RATE_HZ = 16000


def load():
    """Loads the model, here none; returns what makes a clip."""
    return tone


def tone(prompt, seed, duration_s):
    pitch_hz = random.Random(seed).uniform(110, 880)
    samples = range(round(duration_s * SAMPLE_RATE_HZ))
    clip = array.array(
        "f",
        (0.3 * math.exp(-n / SAMPLE_RATE_HZ) * math.sin(math.tau * pitch_hz * n / SAMPLE_RATE_HZ) for n in samples),
    )
    return clip.tobytes()


if __name__ == "__main__":
    serve(load, "tone", SAMPLE_RATE_HZ, channels=1, longest_s=30.0, provenance={"weights": "none"})
