"""Acceptance of the non-commercial licences, which tiny weights need as well where a command uses them."""

from feature_export.weights.licences import accept, accepted, sentence
from feature_export.weights.published import PUBLICATIONS

__all__ = ["accept_all"]


def accept_all() -> None:
    """Accepts them in the folder that TUNEJURY_WEIGHTS names."""
    for publication in PUBLICATIONS.values():
        if not accepted(publication):
            accept(publication, sentence(publication))
