"""Options of every command that loads a generator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunejury_jax.extras import import_extra

__all__ = ["GeneratorOptions"]


@dataclass(frozen=True)
class GeneratorOptions:
    """How a generator is loaded."""

    steps: int | None = None
    """Steps of its sampler, instead of the recipe's."""
    guidance: float | None = None
    """Its guidance, instead of the recipe's."""
    weights: Path | None = None
    """Folder of its weights, where they are not in the usual place."""
    tuned: Path | None = None
    """Fine-tuned weights (.safetensors) to put into it."""
    device: str | None = None
    """Where the networks run, cpu or cuda; the default is the GPU where there is one."""
    bfloat16: bool = False
    """The generator's matrix products in bfloat16."""

    def arguments(self, purpose: str) -> dict[str, Any]:
        """The arguments of `load_generator`; the purpose is told where an extra is missing."""
        compute = import_extra("feature_export.encoders.compute", purpose).Compute
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "weights": self.weights,
            "tuned": self.tuned,
            "compute": compute(self.device, self.bfloat16) if self.device else compute.best(self.bfloat16),
        }
