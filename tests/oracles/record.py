"""What a golden file says of its making: versions of the packages, and the sources of its generator."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

__all__ = ["stamp"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "numpy", "laion-clap", "muq", "x-clip", "torchaudio", "torchlibrosa", "librosa")
PACKAGES += ("mauve-text", "faiss-cpu", "scikit-learn", "stable-audio-tools")


def stamp(golden: Path, name: str) -> None:
    """Adds the array `record`, a JSON text, to a file that the generator `name` wrote."""
    with np.load(golden, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    versions = {package: version(package).partition("+")[0] for package in PACKAGES}
    record = json.dumps({"versions": versions, "sources": _sources(name)}, sort_keys=True)
    np.savez_compressed(golden, allow_pickle=False, **arrays, record=np.array(record))


def _sources(name: str) -> dict[str, str]:
    """sha256 of the files that a golden file follows from."""
    weights = (f"tiny_weights/{name}.py", f"tiny_generators/{name}.py")
    files = (f"oracles/{name}.py", "oracles/signals.py", *weights)
    paths = [path for path in (ROOT / "tests" / file for file in files) if path.exists()]  # MAUVE has no weights
    return {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
