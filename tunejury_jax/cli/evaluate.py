"""`tunejury evaluate`: statistics of scores, each with its interval."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from tunejury_jax.cli.evaluate_cmi import EvaluateCmi
from tunejury_jax.cli.evaluate_rivals import EvaluateRivals
from tunejury_jax.cli.evaluate_sanity import EvaluateSanity
from tunejury_jax.cli.evaluate_tables import EvaluateDecomposition, EvaluateMos, EvaluateProbe, EvaluateSystems

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Judge scores: benchmarks, ratings, systems, groups, sanity; every number with its interval."""

    action: (
        Annotated[EvaluateCmi, tyro.conf.subcommand("cmi")]
        | Annotated[EvaluateMos, tyro.conf.subcommand("mos")]
        | Annotated[EvaluateRivals, tyro.conf.subcommand("rivals")]
        | Annotated[EvaluateSystems, tyro.conf.subcommand("systems")]
        | Annotated[EvaluateProbe, tyro.conf.subcommand("probe")]
        | Annotated[EvaluateSanity, tyro.conf.subcommand("sanity")]
        | Annotated[EvaluateDecomposition, tyro.conf.subcommand("decomposition")]
    )

    def run(self) -> int:
        return self.action.run()
