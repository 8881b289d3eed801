"""The embedded data set: songs made on the spot, damaged by known ladders, compared by a simulated listener.

It needs no download and no licence, and its right answers are known, so a head trained on it shows that export,
training and evaluation work. It says nothing about taste.
"""

from feature_export.demo.config import DemoConfig
from feature_export.demo.dataset import write_demo

__all__ = ["DemoConfig", "write_demo"]
