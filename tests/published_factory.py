"""Publications that fit into a test: a large file and a small one in a repository each, served by a stand-in hub."""

import hashlib

import numpy as np
from hub_stand_in import HubStandIn, Shelf

from feature_export.weights.published import Publication, PublishedFile, Repository

__all__ = ["BIG", "SMALL", "hub_of", "published"]

BIG = np.random.default_rng(0).bytes((3 << 20) + 5)
SMALL = b'{"hidden_size": 8}'


def published(licence: str = "MIT", name: str = "mert", big: bytes = BIG, small: bytes = SMALL) -> Publication:
    """Weights of some licence, and a tokenizer in a folder of its own."""
    weights = Repository("someone/Net-330M", "a" * 40, licence, (_file("net.bin", big), _file("config.json", small)))
    words = Repository("someone/words", "b" * 40, "MIT", (_file("config.json", small[::-1]),), "words")
    return Publication(name, weights.name, ("mert",), (weights, words))


def hub_of(publication: Publication, big: bytes = BIG, small: bytes = SMALL) -> HubStandIn:
    """A hub that has what `published` publishes."""
    weights, words = publication.repositories
    return HubStandIn(
        {
            weights.id: Shelf(weights.revision, {"net.bin": big, "config.json": small}),
            words.id: Shelf(words.revision, {"config.json": small[::-1]}),
        }
    )


def _file(name: str, data: bytes) -> PublishedFile:
    return PublishedFile(name, len(data), hashlib.sha256(data).hexdigest())
