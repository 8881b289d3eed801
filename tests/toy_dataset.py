"""A data set in memory with a planted preference: of two clips, the one whose first column is larger wins."""

import jax
import numpy as np
from sealed_store import TOY, WORDS

from trainers.data import Arrays, Dataset
from tunejury_jax.blocks import Layout

__all__ = ["toy_dataset"]


def toy_dataset(train: int = 60, valid: int = 40, dtype: type = np.float32, seed: int = 0, tail: int = 0) -> Dataset:
    """So many pairs of 80 clips to train and to validate on, a tenth of them ties, and none to test on.

    The last `tail` of the training pairs are of a source of their own.
    """
    generator, count = np.random.default_rng(seed), train + valid
    clip, prompt = generator.standard_normal((80, 8)), generator.standard_normal((4, 4))
    prompt[3] = 0
    sides = np.array([generator.choice(80, 2, replace=False) for _ in range(count)])
    target = (clip[sides[:, 0], 0] > clip[sides[:, 1], 0]).astype(dtype)
    target[generator.random(count) < 0.1] = 0.5
    index = np.column_stack([sides, generator.integers(0, 4, count)]).astype(np.int32)
    rows = np.arange(count)
    return Dataset(
        arrays=jax.device_put(Arrays((clip.astype(dtype),), (prompt.astype(dtype),), index, target)),
        layout=Layout.of([TOY.block, WORDS.block]),
        encoders={"toy": TOY, "words": WORDS},
        ids=tuple(f"p{row}" for row in rows),
        source=((rows >= train - tail) & (rows < train)).astype(np.int64),
        sources=("Toy", "Tail"),
        split=(rows >= train).astype(np.int64),
        labelled=np.ones(count, bool),
        encoded=dict.fromkeys(("toy", "words"), np.ones(count, bool)),
    )
