"""python -m trainers.train: train one head on a feature store."""

from trainers.config import RunConfig
from tunejury_jax.console import command

__all__ = ["main"]


def main(config: RunConfig) -> None:
    """Trains one head with the published recipe or another, measures it and writes a report."""
    from trainers.training import train  # here, so that --help does not wait for JAX

    train(config)


if __name__ == "__main__":
    command("python -m trainers.train", RunConfig, main)
