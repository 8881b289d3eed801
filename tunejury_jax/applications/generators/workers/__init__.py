"""Scripts that run in the environment of a foreign generator; nothing of this project need be installed there.

`serve.py` is all that they share. Run them by their path.
"""
