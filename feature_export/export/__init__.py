"""From pairs and audio to a feature store: plan, encode, seal.

Encoding goes block by block, as the store commits them. `feature_export.preparation` decodes clips and cuts them into
windows ahead of the networks; windows of one length, of many clips, go through a network together. A file that cannot
be used becomes a recorded failure of its row and never stops the job; a job that was killed goes on with the blocks
that have no commit.
"""

from feature_export.export.changes import changed_audio
from feature_export.export.encoding import Encoded, Encoding
from feature_export.export.limits import Limits
from feature_export.export.planning import plan

__all__ = ["Encoded", "Encoding", "Limits", "changed_audio", "plan"]
