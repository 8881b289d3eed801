"""Feature store: plan, fill, seal and read frozen embeddings on TensorStore."""

from tunejury_jax.store.feature_store import FeatureStore
from tunejury_jax.store.kv import StoreError
from tunejury_jax.store.parts import grow, repeated_clips
from tunejury_jax.store.plan import EncoderSpec, difference
from tunejury_jax.store.slabs import Features
from tunejury_jax.store.tables import PairArrays
from tunejury_jax.store.writer import plan_store, seal_store, write_block

__all__ = [
    "EncoderSpec",
    "FeatureStore",
    "Features",
    "PairArrays",
    "StoreError",
    "difference",
    "grow",
    "plan_store",
    "repeated_clips",
    "seal_store",
    "write_block",
]
