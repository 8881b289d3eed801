"""The options of the export commands: what decides the features, and what only decides how fast they come."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Running", "Source"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is encoded, and how: all of it stands in the plan of the store."""

    pairs: Path
    """Pairs file: one JSON record a line."""
    out: str
    """The store: a folder, or a gs:// or s3:// URL."""
    encoders: tuple[str, ...] = ("mel",)
    """Encoder families."""
    splits: tuple[Path, ...] = ()
    """Published split files; without them and without splits in the pairs, clips are split 80/10/10."""
    block_rows: int | None = None
    """Rows committed at a time; by default chosen from the number of clips."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of the features on disk."""
    autocast: bool = False
    """Networks in bfloat16: faster, and other features."""
    crop: Literal["middle", "first", "random", "windows"] = "middle"
    """Where CLAP takes its 10 s from a longer clip."""
    crop_seed: int = 0
    """Of the random crop."""
    train16k: bool = False
    """Audio goes through 16 kHz first, as that of the published heads did."""
    int16: bool = False
    """Samples are clipped and quantised to 16 bits, as the NumPy path of LAION-CLAP does."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """Where the audio is, and what the work may take."""

    audio_root: Path
    """Folder that the clips' paths are relative to."""
    device: str | None = None
    """cpu, cuda or cuda:1; by default a GPU if there is one."""
    workers: int | None = None
    """Processes that decode and resample ahead; 0 works in one process, the default is one a core."""
    memory_mib: int = 2048
    """Audio held in memory: decoded ahead, and waiting for a batch to fill."""
    batch_seconds: float | None = None
    """Audio that a network hears at once, by default 20 on a CPU and 60 on a GPU; what does not fit is halved."""
