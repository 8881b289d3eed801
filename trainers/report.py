"""One page that tells how a run went: `python -m trainers.report --run RUN` writes RUN/report.html.

The page is made from the run folder's files alone and needs nothing else: pictures are inside, there is no script, and
the same files give the same page. A file that is not there yet is said to be missing; a file that cannot be read stops
the report with its name and line. Files may come from anywhere, so their text reaches the page only through the
helpers at the end, which escape it, and the page forbids scripts to whatever they might let through.
"""

import base64
import contextlib
import csv
import html
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure

from trainers import plots
from trainers.plots import Epoch, Trial
from tunejury_jax.metrics import Accuracy, ReliabilityBin

__all__ = ["main", "write_report"]
