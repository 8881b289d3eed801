"""What is published of each encoder: where, by whose licence, as which bytes.

Commits and digests are those that public projects pin for the same files: several independent ones, and for MERT one,
whose digests of other files of that repository were checked against the published source. A wrong digest would refuse
a good file; none lets a bad one through.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tunejury_jax.errors import one_of

__all__ = ["PUBLICATIONS", "Publication", "PublishedFile", "Repository", "publication", "publication_of_block"]

NON_COMMERCIAL = ("CC-BY-NC-4.0",)


@dataclass(frozen=True)
class PublishedFile:
    """One file of a repository.

    Attributes:
        name: Its path in the repository.
        size: About so many bytes, for people: the digest is what counts.
        sha256: Of its bytes.
        instead: A file of this name does as well, put there by hand.
    """

    name: str
    size: int
    sha256: str
    instead: str | None = None


@dataclass(frozen=True)
class Repository:
    """Files of one repository of the Hugging Face hub.

    Attributes:
        id: `owner/name`.
        revision: The commit.
        licence: SPDX name of the licence that its card states.
        files: Those that the encoder reads.
        folder: Where they lie in the encoder's folder; empty for directly there.
    """

    id: str
    revision: str
    licence: str
    files: tuple[PublishedFile, ...]
    folder: str = ""

    @property
    def name(self) -> str:
        """Without its owner."""
        return self.id.rpartition("/")[2]

    def place(self, name: str) -> str:
        """Where a file of it lies, relative to the encoder's folder."""
        return f"{self.folder}/{name}" if self.folder else name


@dataclass(frozen=True)
class Publication:
    """All that one family of encoders reads.

    Attributes:
        name: The family's, and its folder's.
        weights: The name that people know the weights by.
        blocks: What the encoders fill.
        repositories: The first holds the weights, the others what belongs to them.
    """

    name: str
    weights: str
    blocks: tuple[str, ...]
    repositories: tuple[Repository, ...]

    @property
    def licence(self) -> str:
        """Of the weights."""
        return self.repositories[0].licence

    @property
    def commercial(self) -> bool:
        """Whether the licence allows commercial use."""
        return self.licence not in NON_COMMERCIAL

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for _, file in self)

    def __iter__(self) -> Iterator[tuple[Repository, PublishedFile]]:
        for repository in self.repositories:
            for file in repository.files:
                yield repository, file


_CLAP = Publication(
    "clap",
    "LAION-CLAP-Music",
    ("clap_audio", "clap_text"),
    (
        Repository(
            "lukewys/laion_clap",
            "b3708341862f581175dba5c356a4ebf74a9b6651",
            "CC0-1.0",
            (
                PublishedFile(
                    "music_audioset_epoch_15_esc_90.14.pt",
                    2_352_471_003,
                    "fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd",
                ),
            ),
        ),
        Repository(
            "FacebookAI/roberta-base",
            "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
            "MIT",
            (
                PublishedFile(
                    "vocab.json", 898_823, "9e7f63c2d15d666b52e21d250d2e513b87c9b713cfa6987a82ed89e5e6e50655"
                ),
                PublishedFile(
                    "merges.txt", 456_318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
                ),
            ),
            "roberta-base",
        ),
    ),
)

_MERT = Publication(
    "mert",
    "MERT-v1-330M",
    ("mert",),
    (
        Repository(
            "m-a-p/MERT-v1-330M",
            "5240c2708a5acaee1007f43fb9735c7dcd0b78c9",
            "CC-BY-NC-4.0",
            (
                PublishedFile("config.json", 2_000, "a5b40f9db03c84f29e3114abe813a9226178d5437b517d45cd4c2924ac3d0ce0"),
                PublishedFile(
                    "preprocessor_config.json", 212, "c623b903eb1967474b27522975cfb81638e265df99aa640d2c0bd87a987ab538"
                ),
                PublishedFile(
                    "pytorch_model.bin",
                    1_262_000_000,
                    "0c03774d821a6ad972cb48220b128a10ebea2c790116bd0fd35e5a013f8017f6",
                    instead="model.safetensors",
                ),
            ),
        ),
    ),
)

_MUQ = Publication(
    "muq",
    "MuQ-MuLan-large",
    ("muq_audio", "muq_text"),
    (
        Repository(
            "OpenMuQ/MuQ-MuLan-large",
            "2e01c796b71dca71b45251384c04cd7b237c9020",
            "CC-BY-NC-4.0",
            (
                PublishedFile("config.json", 847, "8fefc545ef87ecd9bcde7417dd03464370c48c321f36dcff20266a752079e468"),
                PublishedFile(
                    "pytorch_model.bin",
                    2_653_954_401,
                    "d42ae3f7cb9b66759ee0089ddc70e2f28b130c2d8ba621457358272d32dd0444",
                ),
            ),
            "MuQ-MuLan-large",
        ),
        Repository(
            "OpenMuQ/MuQ-large-msd-iter",
            "0562a57814f6f8bbd9fdea0a25921a2fce1a841a",
            "CC-BY-NC-4.0",
            (PublishedFile("config.json", 3_133, "237335ee27d8fb951ce778701a12a79e06c51ae636dd786f97e45f51ce532543"),),
            "MuQ-large-msd-iter",
        ),
        Repository(
            "FacebookAI/xlm-roberta-base",
            "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
            "MIT",
            (
                PublishedFile("config.json", 615, "d66ed8cd4f2a93b358c245e50736fa389ed4f35c0bae7aad0b32abb20c62b579"),
                PublishedFile(
                    "tokenizer.json", 9_096_718, "a898ea75433890f6610f4e470b8ebeb0c21dce5c8dd61f892eb09eb5919d2e2c"
                ),
            ),
            "xlm-roberta-base",
        ),
    ),
)

PUBLICATIONS: dict[str, Publication] = {each.name: each for each in (_CLAP, _MERT, _MUQ)}
"""By the name of the family."""


def publication(name: str) -> Publication:
    """What is published of a family.

    Raises:
        ValueError: Not a family that has weights.
    """
    return PUBLICATIONS[one_of("encoders", name, tuple(PUBLICATIONS))]


def publication_of_block(block: str) -> Publication | None:
    """What is published of the encoder that fills a block; None for one without weights."""
    return next((each for each in PUBLICATIONS.values() if block in each.blocks), None)
