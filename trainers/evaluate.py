"""python -m trainers.evaluate: measure checkpoints on a split of a feature store."""

from pathlib import Path

from trainers.config import EvaluateConfig
from trainers.recipe import DataConfig
from tunejury_jax.console import command, make_console

__all__ = ["main"]


def main(config: EvaluateConfig) -> None:
    """Prints what one head is worth, or a table of several; writes metrics.json, predictions.csv."""
    # These here, so that --help does not wait for JAX.
    from trainers.data import load_dataset
    from trainers.evaluation import evaluate
    from trainers.evaluation_matrix import evaluate_heads, load_heads
    from trainers.evaluation_tables import show_evaluation, show_matrix
    from tunejury_jax.store import FeatureStore

    heads = load_heads(config.checkpoint)
    store = FeatureStore.open_sealed(config.store)
    for head in heads.values():
        head.require_encoders({name: spec.provenance for name, spec in store.plan.encoders.items()}, config.store)
    first = next(iter(heads.values()))
    # A head trained with ties where both were bad is evaluated so too.
    data = DataConfig(both_bad_as_tie=bool(first.training.get("data", {}).get("both_bad_as_tie")))
    dataset = load_dataset(store, data, first.layout)
    if len(heads) == 1:
        measured, show = evaluate(first, dataset, store, config.split, config.group_by), show_evaluation
    else:
        measured, show = evaluate_heads(heads, dataset, store, config.split, config.group_by), show_matrix
    measured.save(Path(config.out))
    show(make_console(), measured.metrics)
    print(f"Written: {config.out}/metrics.json and predictions.csv")


if __name__ == "__main__":
    command("python -m trainers.evaluate", EvaluateConfig, main)
