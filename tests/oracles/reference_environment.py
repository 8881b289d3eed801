"""Makes the original packages importable in the reference environment, offline."""

import importlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

from tests.oracles import torchvision_stand_in

__all__ = ["PACKAGES", "activate"]

HUB_CACHE = Path(sys.prefix, "hub_cache")
PACKAGES = ("laion_clap", "muq", "published_mert.modeling_MERT", "torchaudio", "librosa")


def activate() -> None:
    """Points the hub's library at the cache of tiny models and puts the stand-in where torchvision is asked for.

    Call it before any import of transformers.
    """
    os.environ |= {"HF_HOME": str(HUB_CACHE), "HF_HUB_OFFLINE": "1"}
    importlib.import_module("transformers")  # first: it must find that there is no torchvision
    torchvision_stand_in.install()


if __name__ == "__main__":
    activate()
    for name in PACKAGES:
        importlib.import_module(name)
    for name in ("torch", "transformers", "laion-clap", "muq", "torchaudio", "librosa"):
        print(name, version(name))
