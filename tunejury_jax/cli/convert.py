"""`tunejury convert`: published heads to checkpoints and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.extras import import_extra

if TYPE_CHECKING:
    from tunejury_jax.blocks import Layout

__all__ = ["Convert"]

SIGNAL_PATHS = {
    "upstream": "assumed, the file does not say: audio through 16 kHz, as upstream made the features of CLAP that "
    "published heads were trained on; of clips over 10 s the middle, where upstream drew a window at random",
    "native": "assumed, the file does not say: audio straight to the encoders' rates, as upstream scores, though it "
    "trained on other features",
}


@dataclass(frozen=True)
class Convert:
    """Turn a published head (.pt) into a checkpoint folder, or a checkpoint folder into a .pt for upstream's code."""

    source: Annotated[Path, tyro.conf.Positional]
    """A .pt file, or a checkpoint folder."""
    destination: Annotated[Path, tyro.conf.Positional]
    """The checkpoint folder or .pt file to write."""
    blocks: tuple[str, ...] = ()
    """For a .pt: the blocks of its input, where neither a .json beside it nor its width tells."""
    encoders_from: str | None = None
    """For a .pt: a feature store or checkpoint of the encoders that it was trained with."""
    signal_path: Literal["upstream", "native"] | None = None
    """For a .pt, without encoders_from: assume these features. upstream: CLAP through 16 kHz, as published heads were
    trained; native: straight to each encoder's rate, as upstream's own scorer does."""

    def run(self) -> int:
        # This here, so that --help does not wait for JAX and torch.
        upstream = import_extra("tunejury_jax.bridge.upstream", "converting heads")

        if self.source.is_dir():
            self._to_published(upstream)
        else:
            self._from_published(upstream)
        return 0

    def _to_published(self, upstream: ModuleType) -> None:
        from tunejury_jax.checkpoint import Checkpoint

        given = {"blocks": self.blocks, "encoders_from": self.encoders_from, "signal_path": self.signal_path}
        if useless := [name for name, value in given.items() if value]:
            raise ValueError(f"{useless[0]}: got {given[useless[0]]!r}, which a checkpoint folder says itself")
        if self.destination.suffix != ".pt":
            raise ValueError(f"destination: got {self.destination}, a checkpoint folder is converted to a .pt file")
        upstream.export_head(Checkpoint.load(self.source), self.destination)
        print(f"Written: {self.destination}")

    def _from_published(self, upstream: ModuleType) -> None:
        if self.destination.exists():
            raise ValueError(f"destination: {self.destination} exists already; name a new folder")
        checkpoint = upstream.import_head(self.source, self.blocks, partial(self._encoders, upstream))
        checkpoint.save(self.destination)
        print(f"Features: {self.encoders_from or SIGNAL_PATHS[self.signal_path or 'native']}")
        print(f"Written: {self.destination} ({checkpoint.sha256[:12]}, blocks {', '.join(checkpoint.layout.names)})")

    def _encoders(self, upstream: ModuleType, layout: "Layout") -> Mapping[str, Mapping[str, Any]]:
        from tunejury_jax.provenance import assume

        if self.encoders_from:
            if self.signal_path:
                raise ValueError(f"signal_path: got {self.signal_path!r}, which --encoders-from says itself")
            return upstream.recorded_encoders(self.encoders_from, layout)
        if self.signal_path is None:
            raise ValueError(
                f"signal_path: {self.source} does not say what made the features it was trained on; choose "
                "--signal-path upstream, --signal-path native or --encoders-from STORE_OR_CHECKPOINT (see --help)"
            )
        if self.signal_path == "upstream" and "muq_audio" in layout.names:
            raise ValueError(
                "signal_path: got 'upstream', which fed MuQ-MuLan 16 kHz samples as if they were 24 kHz and encoded "
                "empty prompts; that is not done here, accepted is 'native'"
            )
        audio = import_extra("feature_export.audio", "the signal path")
        return assume(layout, asdict(audio.SignalPath(train16k=self.signal_path == "upstream")))
