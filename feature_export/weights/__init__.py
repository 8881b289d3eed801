"""Where the weights of the encoders lie, whose they are, and how they get there."""

from feature_export.weights.folder import Weights, find_weights

__all__ = ["Weights", "find_weights"]
