"""CLAP score: a mean of cosines."""

import numpy as np
import pytest

from tunejury_jax.generation_metrics import clap_score

AUDIO, TEXT = (np.random.default_rng(seed).standard_normal((12, 4)) + 0.3 for seed in (0, 1))


def test_is_the_mean_cosine() -> None:
    cosines = [float(a @ t) / float(np.linalg.norm(a) * np.linalg.norm(t)) for a, t in zip(AUDIO, TEXT, strict=True)]
    found = clap_score(AUDIO, TEXT)
    assert found.value == pytest.approx(np.mean(cosines), rel=1e-12)
    assert found.n == 12
    assert found.low is not None
    assert found.low < np.mean(cosines) < (found.high or 0)


def test_laws() -> None:
    assert clap_score(AUDIO, AUDIO).value == pytest.approx(1)
    assert clap_score(AUDIO, -2 * AUDIO).value == pytest.approx(-1)
    assert clap_score(7 * AUDIO, 0.1 * TEXT).value == pytest.approx(clap_score(AUDIO, TEXT).value, rel=1e-12)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"audio, text: expected one shape, got \(12, 4\) and \(11, 4\)"):
        clap_score(AUDIO, TEXT[1:])
    with pytest.raises(ValueError, match=r"text\[2\]: all zeros, which have no direction"):
        clap_score(AUDIO, TEXT * (np.arange(12) != 2)[:, None])
