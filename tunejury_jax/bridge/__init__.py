"""JAX heads for PyTorch callers: published weight files, rewards as torch functions, gradients to the waveform."""

import os

# torch and JAX share a GPU here: JAX would take three quarters of its memory at its first use and leave torch the rest.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
