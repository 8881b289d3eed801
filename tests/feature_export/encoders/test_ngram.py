"""The n-gram baseline: hand-made vectors, stability across processes, and odd texts."""

import hashlib
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from feature_export.encoders import ngram
from feature_export.encoders.ngram import NgramBaseline

EMBED = NgramBaseline().embed


def place(term: str) -> tuple[int, float]:
    """Bucket and sign of one term, from bytes: the remainder by 256 is the last byte, the sign the first bit."""
    digest = hashlib.blake2b(term.encode(), digest_size=8, person=b"tunejury-ngram-1").digest()
    return digest[7], -1.0 if digest[0] & 128 else 1.0


def by_hand(*terms: str) -> np.ndarray:
    vector = np.zeros(256)
    for term in terms:
        bucket, sign = place(term)
        vector[bucket] += sign
    return 16 * vector / np.linalg.norm(vector)


def test_words_and_their_neighbours() -> None:
    expected = by_hand("warm", "lo", "fi", "piano", "warm lo", "lo fi", "fi piano")
    assert_allclose(EMBED("Warm, lo-fi PIANO!").numpy(), expected, rtol=1e-7, atol=1e-6)


def test_counts_and_order_count() -> None:
    assert_allclose(EMBED("go go").numpy(), by_hand("go", "go", "go go"), rtol=1e-7, atol=1e-6)
    assert not torch.equal(EMBED("calm then loud"), EMBED("loud then calm"))


def test_both_signs_occur() -> None:
    signs = [place(f"word{number}")[1] for number in range(200)]
    assert 60 < signs.count(1.0) < 140
    assert len({place(f"word{number}")[0] for number in range(200)}) > 100


ODD = ["piano", "a b", "!!!", "...?", "日本の夏", "🎵🎶", "\ud83d", "\u200b", "x" * 100_000, " \t . "]


@pytest.mark.parametrize("text", ODD)
def test_any_text_has_length_sixteen(text: str) -> None:
    embedding = EMBED(text)
    assert embedding.dtype == torch.float32
    assert embedding.shape == (256,)
    assert_allclose(float(embedding.norm()), 16, rtol=1e-6)


def test_characters_stand_in_for_words() -> None:
    assert_allclose(EMBED("! ?").numpy(), by_hand("!", "?", "! ?"), rtol=1e-7, atol=1e-6)
    assert not torch.equal(EMBED("!!!"), EMBED("???"))


def test_spelling_of_unicode_does_not_count() -> None:
    assert torch.equal(EMBED("Café \uff4a\uff41\uff5a\uff5a"), EMBED(unicodedata.normalize("NFD", "café jazz")))
    assert torch.equal(EMBED("STRASSE"), EMBED("straße"))


def test_no_terms_are_zeros() -> None:
    assert EMBED("").tolist() == [0.0] * 256


def test_terms_that_cancel_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that share a bucket with opposite signs."""
    words = [f"w{number}" for number in range(3000)]
    places = {word: place(word) for word in words}
    opposite = next((a, b) for a in words for b in words if places[a] == (places[b][0], -places[b][1]))
    monkeypatch.setattr(ngram, "_terms", lambda text: list(opposite))
    assert EMBED("any").tolist() == [0.0] * 256


def test_the_same_in_another_process() -> None:
    code = (
        "from feature_export.encoders.ngram import NgramBaseline;"
        "print(NgramBaseline().embed('warm lo-fi piano').numpy().tobytes().hex())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    made = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == EMBED("warm lo-fi piano").numpy().tobytes().hex()


def test_buckets_are_pinned() -> None:
    """A change here changes every stored feature: make a new revision."""
    assert [int(EMBED(word).nonzero()) for word in ("piano", "drums", "calm")] == [108, 163, 31]
