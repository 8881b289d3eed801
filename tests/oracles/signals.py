"""Signals that oracles and tests both compute, so that golden files need not store them."""

import numpy as np

__all__ = ["direction", "music_like"]


def music_like(samples: int, sample_rate_hz: int, seed: int) -> np.ndarray:
    """A rising tone with an overtone that fades in and out twice a second, over noise: float32, peak below 1."""
    random = np.random.RandomState(seed)  # NumPy keeps its stream frozen
    time_s = np.arange(samples) / sample_rate_hz
    low_hz, rise_hz = random.uniform(80, 400), random.uniform(20, 60)
    phase = 2 * np.pi * (low_hz * time_s + rise_hz * time_s**2 / 2)
    swell = 0.5 - 0.5 * np.cos(4 * np.pi * time_s)
    tone = 0.3 * np.sin(phase) + 0.15 * swell * np.sin(3 * phase)
    return (tone + 0.02 * random.standard_normal(samples)).astype(np.float32)


def direction(dim: int, seed: int = 0) -> np.ndarray:
    """A direction in the space of an embedding, along which gradients are taken: float32, length about 1."""
    return (np.random.RandomState(seed).standard_normal(dim) / np.sqrt(dim)).astype(np.float32)
