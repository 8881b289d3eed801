"""The forms in which a checkpoint leaves a run: folders with config.json and a README.md that says how to use them.

safetensors   the checkpoint itself
torch         head.pt, or member_N.pt of an ensemble, under the published names
orbax         arrays/, the flax variables; those of an ensemble have a leading member axis
stablehlo     scorer.stablehlo, the compiled scoring function for any number of rows, weights included
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax import export
from jaxtyping import Array, Float

from trainers.config import ExportFormat
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.extras import import_extra
from tunejury_jax.head import Head
from tunejury_jax.prediction import mean_and_std

__all__ = ["FORMATS"]

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
TORCH_USE = (
    "Each `.pt` is the state dict of one head, as upstream's code loads it; several score by their mean.",
    "`config.json` says which blocks they read. Back to a checkpoint:",
    "",
    "```",
    "tunejury convert THIS_FOLDER/head.pt my-head --blocks BLOCK ... --encoders-from STORE",
    "```",
)
ORBAX_USE = (
    "```python",
    "import orbax.checkpoint as ocp",
    "",
    'with ocp.StandardCheckpointer() as checkpointer:  # {"params": ..., "batch_stats": ...}',
    '    variables = checkpointer.restore("/absolute/path/to/THIS_FOLDER/arrays")',
    "```",
)


def _safetensors(checkpoint: Checkpoint, out: Path) -> None:
    checkpoint.save(out)


def _torch(checkpoint: Checkpoint, out: Path) -> None:
    upstream = import_extra("tunejury_jax.bridge.upstream", "the torch format")
    checkpoint.save_as(out, TORCH_USE, partial(upstream.export_members, checkpoint))


def _orbax(checkpoint: Checkpoint, out: Path) -> None:
    def write(folder: Path) -> None:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder.absolute() / "arrays", checkpoint.variables)

    checkpoint.save_as(out, ORBAX_USE, write)


def _stablehlo(checkpoint: Checkpoint, out: Path) -> None:
    program = _compiled(checkpoint)
    use = _stablehlo_use(checkpoint)
    checkpoint.save_as(out, use, lambda folder: (folder / "scorer.stablehlo").write_bytes(program))


def _compiled(checkpoint: Checkpoint) -> bytearray:
    """The scoring function, features (batch, dim) -> (mean, std), with a batch of any size."""
    head = Head(checkpoint.head.widths)

    def score(x: Float[Array, "batch dim"]) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        return mean_and_std(head, checkpoint.stacked, x)

    (batch,) = export.symbolic_shape("batch")
    rows = jax.ShapeDtypeStruct((batch, checkpoint.layout.dim), jnp.float32)
    return export.export(jax.jit(score), platforms=PLATFORMS)(rows).serialize()


def _stablehlo_use(checkpoint: Checkpoint) -> tuple[str, ...]:
    columns = ", ".join(f"{block.name} ({block.dim})" for block in checkpoint.layout.blocks)
    return (
        f"Columns of the features, in order: {columns}. `std` is the standard deviation over the members of an",
        "ensemble, 0 of a single head. Needs `jax`, `numpy` and `flatbuffers`, and nothing of this project.",
        "",
        "```python",
        "from pathlib import Path",
        "",
        "import jax",
        "import numpy as np",
        "from jax import export",
        "",
        'program = export.deserialize(bytearray(Path("THIS_FOLDER/scorer.stablehlo").read_bytes()))',
        f"features = np.zeros((3, {checkpoint.layout.dim}), np.float32)",
        "mean, std = jax.jit(program.call)(features)",
        "```",
    )


FORMATS: Mapping[ExportFormat, Callable[[Checkpoint, Path], None]] = {
    "safetensors": _safetensors,
    "torch": _torch,
    "orbax": _orbax,
    "stablehlo": _stablehlo,
}
