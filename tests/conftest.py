"""What every test runs under: strict types, no network, one place for shared fixtures."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch threads spin against each other where cores are shared

import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
# Tests compile much and compute little: optimising the random bits of one small epoch takes LLVM five seconds.
# Commands that tests start as processes compile as users do, unless a test says otherwise.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users run it, without jaxtyping's checks: a bad value meets our own message."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
