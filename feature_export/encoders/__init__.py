"""Frozen encoders: what they declare, the families users choose from, and the stacks made of them."""

from feature_export.encoders.compute import Compute
from feature_export.encoders.protocol import AudioEncoder, Encoder, Framing, Provenance, TextEncoder, WindowedEncoder
from feature_export.encoders.registry import FAMILIES, Family, load_stack, stack_from_provenance
from feature_export.encoders.stack import Stack, waveform

__all__ = [
    "FAMILIES",
    "AudioEncoder",
    "Compute",
    "Encoder",
    "Family",
    "Framing",
    "Provenance",
    "Stack",
    "TextEncoder",
    "WindowedEncoder",
    "load_stack",
    "stack_from_provenance",
    "waveform",
]
