"""Scorers of music that others published, under one roof: same clips, same decoding, one table.

Their code and weights are not part of this project. A package is imported where it is installed; a repository that is
no package is imported from the clone that the user names, and so runs as what it is: somebody else's code.
"""

from tunejury_jax.applications.rivals.protocol import RivalScorer
from tunejury_jax.applications.rivals.registry import RIVALS, RivalCard, load_rival

__all__ = ["RIVALS", "RivalCard", "RivalScorer", "load_rival"]
