"""A cache of the model hub with tiny stand-ins under the names that laion_clap loads when imported and constructed.

`python -m tests.oracles.hub_cache FOLDER`: three tokenizers with a vocabulary of some hundred pieces, and a two-layer
RoBERTa of the published width. Always the same files for the same versions.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import RobertaConfig, RobertaModel

__all__ = ["write_cache"]

COMMIT = "0" * 40
VOCABULARY = 400
LINES = (
    "a calm piano piece with soft strings",
    "a fast techno beat with a driving bass line",
    "a sad guitar ballad, slow and quiet",
    "an orchestra plays a waltz in a large hall",
)


def write_cache(home: Path) -> None:
    """Writes what `HF_HOME` points at."""
    roberta = _snapshot(home, "roberta-base")
    for folder, tokenizer in ((roberta, "Roberta"), (_snapshot(home, "facebook/bart-base"), "Bart")):
        _byte_pairs().model.save(str(folder))  # vocab.json, merges.txt
        _write(folder / "tokenizer_config.json", tokenizer_class=f"{tokenizer}Tokenizer", model_max_length=512)
        _write(folder / "config.json", model_type=tokenizer.lower())
    _write_roberta(roberta)
    bert = _snapshot(home, "bert-base-uncased")
    (bert / "vocab.txt").write_text("".join(f"{word}\n" for word in _words()))
    _write(bert / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=512)
    _write(bert / "config.json", model_type="bert")


def _snapshot(home: Path, name: str) -> Path:
    model = home / "hub" / f"models--{name.replace('/', '--')}"
    folder = model / "snapshots" / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    (model / "refs").mkdir(exist_ok=True)
    (model / "refs" / "main").write_text(COMMIT)
    return folder


def _byte_pairs() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES * 50, trainer)
    return tokenizer


def _write_roberta(folder: Path) -> None:
    config = RobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=256,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    torch.manual_seed(0)
    RobertaModel(config).save_pretrained(folder)


def _words() -> Iterator[str]:
    yield from ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    yield from sorted(set(" ".join(LINES).replace(",", "").split()))


def _write(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(fields))


if __name__ == "__main__":
    write_cache(Path(sys.argv[1]))
