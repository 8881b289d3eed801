"""What a store will hold, and whether this process may fill it."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from feature_export.encoders import Stack
from feature_export.encoders.protocol import Provenance
from tunejury_jax.blocks import SIGNAL
from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, StoreError, difference, plan_store

__all__ = ["plan", "require_planned_for", "require_versions"]

MAX_BLOCK_ROWS, MIN_BLOCK_ROWS, TARGET_BLOCKS = 1024, 16, 64

PACKAGES = ("tunejury-jax", "torch", "transformers", "soundfile", "av", "numpy", "tensorstore")
COMPARED = ("torch", "transformers")
"""Libraries that compute the features: another version may round otherwise, or compute something else."""


def plan(
    pairs: Sequence[Pair], stack: Stack, location: str, block_rows: int | None = None, dtype: str = "float32"
) -> FeatureStore:
    """Plans a store for some pairs and encoders; planning the same again finds it.

    Args:
        pairs: With their splits.
        stack: The encoders.
        location: Folder or bucket URL of the store.
        block_rows: Rows to commit at a time; by default about a 64th of the larger table, between 16 and 1024.
        dtype: On disk, of all blocks but the file facts, which half precision cannot hold.

    Raises:
        StoreError: A store with another plan stands there.
    """
    clips = {clip.key for pair in pairs for clip in (pair.clip_a, pair.clip_b)}
    prompts = {pair.prompt for pair in pairs}
    provenance = stack.provenance()
    blocks = {encoder.block: provenance[encoder.block.name] for encoder in stack.encoders}
    specs = [EncoderSpec(block, made_by, "float32" if block == SIGNAL else dtype) for block, made_by in blocks.items()]
    rows = _block_rows(max(len(clips), len(prompts))) if block_rows is None else block_rows
    return plan_store(location, pairs, specs, block_rows=rows, environment=_environment(provenance))


def require_planned_for(store: FeatureStore, stack: Stack) -> None:
    """Raises a `StoreError` that says what differs if a store was planned for other encoders."""
    planned = {name: dict(spec.provenance) for name, spec in store.plan.encoders.items()}
    if lines := difference(stack.provenance(), planned):
        raise StoreError(f"{store.location}: was planned for other encoders; these differ: {'; '.join(lines)}")


def require_versions(store: FeatureStore) -> None:
    """Raises a `StoreError` if a store was planned under other versions of the libraries in `COMPARED`.

    Builds for another device (`2.13.0+cpu`) are the same version.
    """
    planned = {name: _public(found) for name, found in store.plan.environment.items() if name in COMPARED}
    here = {name: _public(_version(name)) for name in planned}
    if lines := difference(here, planned):
        raise StoreError(
            f"{store.location}: its rows would be of two versions: {'; '.join(lines)}, under which it was planned; "
            "install that version, or plan a new store"
        )


def _environment(provenance: Mapping[str, Provenance]) -> dict[str, str]:
    """Versions of the libraries that are here, those of the encoders' backends included."""
    backends = [str(fields["backend"]) for fields in provenance.values() if "backend" in fields]
    found = {name: _version(name) for name in (*PACKAGES, *backends)}
    return {name: number for name, number in found.items() if number is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _public(number: str | None) -> str | None:
    return number and number.partition("+")[0]


def _block_rows(rows: int) -> int:
    wanted = 1 << (rows // TARGET_BLOCKS).bit_length()
    return min(max(wanted, MIN_BLOCK_ROWS), MAX_BLOCK_ROWS)
