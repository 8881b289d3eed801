"""Published preference labels and audio as pairs: one file a source, and what they share."""

from feature_export.sources.reading import Reading
from feature_export.sources.registry import SOURCES, read_source

__all__ = ["SOURCES", "Reading", "read_source"]
