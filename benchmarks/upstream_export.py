"""Feature extraction built as the published one is: pair by pair, side by side, one clip at a time.

Each side of each pair is decoded, brought to 16 kHz mono and from there to each encoder's rate, and embedded, also
where the same clip was heard in a pair before; the prompt is embedded with each pair, which becomes a file. The
networks are ours, so that what differs is the loop.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from feature_export.audio import Waveform, load, mono
from feature_export.encoders import Stack, WindowedEncoder
from feature_export.resample import resample
from tunejury_jax.pairs import Clip, Pair

__all__ = ["extract"]

RATE_HZ = 16_000


def extract(pairs: Sequence[Pair], stack: Stack, audio_root: Path, out: Path) -> None:
    """Embeds some pairs and writes `<id>.pt` for each.

    Args:
        pairs: Whose clips lie under the audio root.
        stack: Its windowed encoders and its text encoders are used.
        audio_root: Folder that the clips' paths are relative to.
        out: Folder of the files.
    """
    with torch.no_grad():
        for pair in pairs:
            features = {
                "a": _side(pair.clip_a, stack, audio_root),
                "b": _side(pair.clip_b, stack, audio_root),
                "text": {encoder.block.name: encoder.embed(pair.prompt).clone() for encoder in stack.text},
            }
            torch.save(features, out / f"{pair.id}.pt")


def _side(clip: Clip, stack: Stack, audio_root: Path) -> dict[str, Tensor]:
    decoded = load(audio_root / clip.path, clip.span)
    wave = Waveform(resample(mono(decoded), decoded.sample_rate_hz, RATE_HZ)[None], RATE_HZ)
    encoders = [encoder for encoder in stack.audio if isinstance(encoder, WindowedEncoder)]
    return {encoder.block.name: encoder.embed(wave).clone() for encoder in encoders}
