"""python -m trainers.evaluate: measure a checkpoint on a split of a feature store."""

from pathlib import Path

from trainers.config import EvaluateConfig
from trainers.recipe import DataConfig
from tunejury_jax.console import command, make_console

__all__ = ["main"]


def main(config: EvaluateConfig) -> None:
    """Prints accuracy with intervals, by source and against trivial rules; writes metrics.json, predictions.csv."""
    # These here, so that --help does not wait for JAX.
    from trainers.data import load_dataset
    from trainers.evaluation import evaluate
    from trainers.results import show_accuracy
    from tunejury_jax.checkpoint import Checkpoint
    from tunejury_jax.store import FeatureStore

    checkpoint = Checkpoint.load(Path(config.checkpoint))
    store = FeatureStore.open_sealed(config.store)
    checkpoint.require_encoders({name: spec.provenance for name, spec in store.plan.encoders.items()}, config.store)
    # A head trained with ties where both were bad is evaluated so too.
    data = DataConfig(both_bad_as_tie=bool(checkpoint.training.get("data", {}).get("both_bad_as_tie")))
    dataset = load_dataset(store, data, checkpoint.layout)
    measured = evaluate(checkpoint, dataset, store, config.split)
    measured.save(Path(config.out))
    show_accuracy(make_console(), measured)
    print(f"Written: {config.out}/metrics.json and predictions.csv")


if __name__ == "__main__":
    command("python -m trainers.evaluate", EvaluateConfig, main)
