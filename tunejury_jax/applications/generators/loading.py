"""Networks from local folders, without a network and without remote code; and what says which weights they have."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from feature_export.encoders.state_file import SHOWN_KEYS
from feature_export.weights.digests import sha256_of

__all__ = ["digest_of", "from_pretrained", "load_pretrained", "load_tokenizer"]

READ = (".bin", ".ckpt", ".json", ".model", ".pt", ".pth", ".safetensors", ".txt")
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")
REFUSED = ("missing_keys", "mismatched_keys", "error_msgs")


def load_pretrained(kind: Any, folder: Path) -> Any:
    """A network of transformers or diffusers in float32, in evaluation mode, its weights frozen.

    Weights that a file holds besides those of the network are named in a warning of the library and not used.

    Args:
        kind: The class of the network.
        folder: What its `save_pretrained` wrote.

    Raises:
        ValueError: The folder is not there or cannot be read, or weights of the network are missing from it or of
            another shape.
    """
    if not folder.is_dir():
        raise ValueError(f"weights: {folder} is not there")
    network, report = from_pretrained(kind, folder, torch_dtype=torch.float32, output_loading_info=True)
    told = {what.replace("_", " "): sorted(map(str, report.get(what) or ())) for what in REFUSED}
    if any(told.values()):
        listed = "; ".join(f"{len(keys)} {what}: {', '.join(keys[:SHOWN_KEYS])}" for what, keys in told.items() if keys)
        raise ValueError(f"weights: {folder} does not hold a {kind.__name__}: {listed}")
    return network.eval().requires_grad_(False)


def load_tokenizer(kind: Any, folder: Path) -> Any:
    """A tokenizer of transformers.

    Raises:
        ValueError: It cannot be loaded.
    """
    # Without its files transformers 5 makes a tokenizer that knows no words, and does not say so.
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise ValueError(f"weights: {folder} has no vocabulary, expected one of {', '.join(VOCABULARIES)}")
    return from_pretrained(kind, folder)


def from_pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """Whatever transformers or diffusers load from a folder.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"weights: {folder} cannot be read: {error}") from error


def digest_of(folder: Path) -> str:
    """One sha256 over the names and digests of all weights, configurations and vocabularies in a folder, in depth."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.suffix in READ and path.is_file()}
    shown = {name: path for name, path in files.items() if not any(part.startswith(".") for part in name.parts)}
    lines = (f"{sha256_of(path)}  {name.as_posix()}\n" for name, path in sorted(shown.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
