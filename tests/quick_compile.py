"""Importing this makes JAX compile quickly for the rest of the test run.

Tests compile much and compute little: optimising the threefry of a small training epoch takes LLVM five seconds, which
is most of the time of a test. Programs started by tests as processes of their own are optimised as users' are.
"""

import jax

jax.config.update("jax_disable_most_optimizations", True)
