"""Flags of clips and prompts, at their thresholds."""

import numpy as np
import pytest

from tunejury_jax.blocks import Layout
from tunejury_jax.flags import FLAGS, clip_flags, is_cropped, prompt_flags

BOTH, CLIP = Layout.of(["mert", "clap_text"]), Layout.of(["mert"])


def signal(duration_s=8.0, peak=0.5, rms_dbfs=-20.0):
    return np.array([duration_s, 44_100, 2, peak, rms_dbfs], np.float32)


@pytest.mark.parametrize(
    ("facts", "flags"),
    [
        (signal(), ()),
        (signal(duration_s=4.99), ("short",)),
        (signal(duration_s=5.0), ()),
        (signal(duration_s=10.0), ()),
        (signal(duration_s=10.01), ("cropped",)),
        (signal(rms_dbfs=-60.0), ()),
        (signal(rms_dbfs=-60.1), ("silent",)),
        (signal(peak=32766 / 32768), ()),
        (signal(peak=32767 / 32768), ("clipped",)),
        (signal(0.1, 1.5, -120.0), ("short", "silent", "clipped")),
    ],
)
def test_a_clip_is_flagged_at_the_thresholds(facts, flags):
    assert clip_flags(facts, cropped=True) == flags
    assert set(flags) <= set(FLAGS)


def test_a_long_clip_is_not_cropped_where_all_of_it_is_heard():
    assert clip_flags(signal(duration_s=60.0), cropped=False) == ()


@pytest.mark.parametrize(
    ("encoders", "cropped"),
    [
        ({"mert": {"encoder": "mert"}}, False),
        ({"clap_audio": {"signal_path": {"crop": "windows"}}}, False),
        ({"clap_audio": {"signal_path": {"crop": "first"}}, "mert": {}}, True),
        ({"clap_audio": {"assumed": True}}, True),
    ],
)
def test_clap_crops_unless_it_hears_all_windows(encoders, cropped):
    assert is_cropped(encoders) is cropped


def test_a_prompt_is_flagged_where_the_head_reads_it():
    assert prompt_flags("calm", 0, BOTH) == ()
    assert prompt_flags("calm", 3, BOTH) == ("prompt_cut",)
    assert prompt_flags(" \n", 0, BOTH) == ("no_prompt",)
    assert prompt_flags("", 3, CLIP) == ()
