"""Frozen encoders: what they declare, the families users choose from, and the stacks made of them."""

from feature_export.encoders.protocol import AudioEncoder, Encoder, Provenance, TextEncoder
from feature_export.encoders.registry import FAMILIES, Family, load_stack, stack_from_provenance
from feature_export.encoders.stack import Stack, waveform

__all__ = [
    "FAMILIES",
    "AudioEncoder",
    "Encoder",
    "Family",
    "Provenance",
    "Stack",
    "TextEncoder",
    "load_stack",
    "stack_from_provenance",
    "waveform",
]
