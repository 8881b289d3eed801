"""A stack of toy encoders for the blocks of `random_checkpoint`, which count what they are asked for."""

import torch

from feature_export.encoders import Stack
from tunejury_jax.blocks import Block

__all__ = ["TOY", "ToyAudio", "ToyText", "toy_stack"]

TOY = {name: {"encoder": name, "revision": "1"} for name in ("toy", "words")}


class ToyAudio:
    """Eight sums of the samples; `heard` counts the clips."""

    block = Block("toy", 8, "clip")
    sample_rate_hz = None
    revision = "1"
    description = "toy"

    def __init__(self):
        self.heard = []

    def provenance(self):
        return TOY["toy"]

    def embed(self, wave):
        self.heard.append(wave.samples.shape[1])
        powers = [wave.samples.abs().mul(10).pow(1 + number / 4).mean() for number in range(8)]
        return torch.stack(powers)


class ToyText:
    """Lengths of the words; `read` counts the prompts."""

    block = Block("words", 4, "prompt")
    revision = "1"
    description = "toy"
    limit = 5

    def __init__(self):
        self.read = []

    def provenance(self):
        return TOY["words"]

    def embed(self, text):
        self.read.append(text)
        lengths = [len(word) for word in text.split()][:4]
        return torch.tensor([*lengths, *[0] * (4 - len(lengths))], dtype=torch.float32)

    def cut_tokens(self, text):
        return max(0, len(text.split()) - self.limit)


def toy_stack(audio=None, text=None):
    return Stack((audio or ToyAudio(),), (text or ToyText(),))
