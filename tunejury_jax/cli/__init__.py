"""The `tunejury` command, a file a subcommand; what is heavy is imported when it runs, so that --help is quick."""

from typing import Annotated

import tyro

from tunejury_jax.cli.best_of_n import BestOfNCommand
from tunejury_jax.cli.calibrate import Calibrate
from tunejury_jax.cli.convert import Convert
from tunejury_jax.cli.ditto import Ditto
from tunejury_jax.cli.doctor import Doctor
from tunejury_jax.cli.encoders import Encoders
from tunejury_jax.cli.evaluate import Evaluate
from tunejury_jax.cli.expert_iteration import ExpertIteration
from tunejury_jax.cli.figure import DrawFigure
from tunejury_jax.cli.generators import Generators
from tunejury_jax.cli.metrics import Metrics
from tunejury_jax.cli.percentiles import PercentilesCommand
from tunejury_jax.cli.push import Push
from tunejury_jax.cli.release_scores import ReleaseScores
from tunejury_jax.cli.score import Score
from tunejury_jax.console import command

__all__ = ["main"]

Command = (
    Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Calibrate, tyro.conf.subcommand("calibrate")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[BestOfNCommand, tyro.conf.subcommand("best-of-n")]
    | Annotated[Ditto, tyro.conf.subcommand("ditto")]
    | Annotated[ExpertIteration, tyro.conf.subcommand("expert-iteration")]
    | Annotated[Generators, tyro.conf.subcommand("generators")]
    | Annotated[Metrics, tyro.conf.subcommand("metrics")]
    | Annotated[DrawFigure, tyro.conf.subcommand("figure")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Encoders, tyro.conf.subcommand("encoders")]
    | Annotated[Push, tyro.conf.subcommand("push")]
    | Annotated[PercentilesCommand, tyro.conf.subcommand("percentiles")]
    | Annotated[ReleaseScores, tyro.conf.subcommand("release-scores"), tyro.conf.CascadeSubcommandArgs]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def run(chosen: Command) -> int:
    """Runs the chosen command; returns its exit status."""
    return chosen.run()


def main() -> None:
    """Entry point of the console script."""
    command("tunejury", Annotated[Command, tyro.conf.OmitSubcommandPrefixes], run)
