"""Backbones of the published classes with tiny random weights, saved in the layout that they are published in."""
