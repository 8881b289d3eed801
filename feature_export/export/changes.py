"""Audio files that are not, or no more, those that were encoded."""

from pathlib import Path

from feature_export.preparation import file_sha256
from tunejury_jax.blocks import SIGNAL
from tunejury_jax.store import FeatureStore, StoreError

__all__ = ["changed_audio"]


def changed_audio(store: FeatureStore, audio_root: Path) -> list[str]:
    """The clips whose file is not the one that was encoded, by key.

    Raises:
        StoreError: Not all clips are encoded.
    """
    clips = store.clips()
    recorded = [digest for commit in store.commits(SIGNAL.name) for digest in commit.get("audio_sha256", ())]
    if len(recorded) != len(clips):
        raise StoreError(f"{store.location}: has {len(clips)} clips, and digests of {len(recorded)} audio files")
    pairs = zip(clips, recorded, strict=True)
    return [clip.key for clip, digest in pairs if file_sha256(audio_root / clip.path) != digest]
