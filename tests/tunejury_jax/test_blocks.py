"""The layout of a head's input: published order and widths, columns, masks, joining."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tunejury_jax.blocks import BLOCKS, FACTS, SIGNAL, Block, Layout

RELEASE = ("clap_audio", "mert", "clap_text")
WIDTHS = {
    ("clap_audio", "mert", "clap_text"): 2048,
    ("muq_audio", "muq_text"): 1024,
    ("clap_audio", "mert"): 1536,
    ("clap_text",): 512,
    ("mel_baseline", "ngram_baseline"): 656,
}
OWN = Block("own", 7, "clip")
LAYOUTS = [Layout.of(names) for names in WIDTHS] + [Layout.of([OWN, "clap_text", Block("zz", 3, "prompt"), "mert"])]


@pytest.mark.parametrize(("names", "dim"), WIDTHS.items())
def test_widths_are_the_published_ones(names: tuple[str, ...], dim: int) -> None:
    assert Layout.of(names).dim == dim


def test_columns_of_the_release_are_the_published_ones() -> None:
    layout = Layout.of(RELEASE)
    assert [layout.columns(name) for name in RELEASE] == [slice(0, 512), slice(512, 1536), slice(1536, 2048)]


@pytest.mark.parametrize("given", list(itertools.permutations(RELEASE)))
def test_the_order_given_does_not_matter(given: tuple[str, ...]) -> None:
    assert Layout.of(given).names == RELEASE


def test_own_blocks_follow_the_published_ones_of_their_table() -> None:
    own = [Block("b", 1, "clip"), Block("a", 1, "prompt"), Block("a2", 1, "clip")]
    layout = Layout.of(["ngram_baseline", *own, "mert"])
    assert layout.names == ("mert", "a2", "b", "ngram_baseline", "a")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "+".join(layout.names))
def test_clip_blocks_come_before_prompt_blocks(layout: Layout) -> None:
    assert layout.of_table("clip") + layout.of_table("prompt") == layout.blocks


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "+".join(layout.names))
def test_columns_tile_the_input(layout: Layout) -> None:
    covered = np.concatenate([np.arange(layout.dim)[layout.columns(name)] for name in layout.names])
    assert covered.tolist() == list(range(layout.dim))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "+".join(layout.names))
def test_a_mask_is_true_on_the_columns_kept(layout: Layout) -> None:
    for keep in itertools.chain.from_iterable(itertools.combinations(layout.names, n) for n in range(4)):
        expected = np.concatenate([np.full(block.dim, block.name in keep) for block in layout.blocks])
        assert np.array_equal(layout.mask(keep), expected)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "+".join(layout.names))
def test_join_puts_each_block_into_its_columns(layout: Layout) -> None:
    features = {b.name: np.random.default_rng(b.dim).standard_normal((3, b.dim)) for b in reversed(layout.blocks)}
    joined = layout.join(features | {"signal": np.ones((3, 5))})
    assert joined.shape == (3, layout.dim)
    for name in layout.names:
        assert np.array_equal(joined[:, layout.columns(name)], features[name])


def test_join_keeps_the_dtype() -> None:
    half = {"own": np.ones((2, 7), np.float16)}
    assert Layout.of([OWN]).join(half).dtype == np.float16


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"own": (2, 7)}, "features: block 'mert' is missing, got ['own']"),
        ({"own": (2, 7), "mert": (2, 1023)}, "features['mert']: expected 1024 columns, got 1023"),
        ({"own": (2, 1), "mert": (2, 1024)}, "features['own']: expected 7 columns, got 1"),
    ],
)
def test_join_refuses_other_features(features: dict[str, tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Layout.of([OWN, "mert"]).join({name: np.zeros(shape) for name, shape in features.items()})


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "blocks: a layout needs at least one block, got none"),
        (["mert", "mert"], "blocks: each block may occur once, got ['mert', 'mert']"),
        (["mert", Block("mert", 1024, "clip")], "blocks: each block may occur once"),
        (["mrt"], "block: got 'mrt', accepted are 'clap_audio', 'mert',"),
        (["mrt"], "(did you mean 'mert'?)"),
        ([Block("mert", 768, "clip")], "block 'mert' is published as Block(name='mert', dim=1024, table='clip')"),
        ([Block("mert", 1024, "prompt")], "block 'mert' is published as"),
        ([Block("own", 0, "clip")], "dim: block 'own' needs at least one column, got 0"),
        ([SIGNAL], "block 'signal' holds file facts and cannot be a head's input"),
    ],
)
def test_a_layout_that_is_none(blocks: Sequence[Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Layout.of(blocks)


def test_a_layout_out_of_order_is_refused() -> None:
    mert, clap = Layout.of(["mert"]).blocks[0], Layout.of(["clap_audio"]).blocks[0]
    with pytest.raises(ValueError, match=r"not in canonical order, got \['mert', 'clap_audio'\]; build with Layout.of"):
        Layout((mert, clap))


def test_an_unknown_block_has_no_columns() -> None:
    with pytest.raises(ValueError, match="block: got 'muq_audio', accepted are 'clap_audio', 'mert', 'clap_text'"):
        Layout.of(RELEASE).columns("muq_audio")
    with pytest.raises(ValueError, match="block: got 'clap', accepted are"):
        Layout.of(RELEASE).mask(["mert", "clap"])


def test_published_names_are_unique_and_none_is_the_file_facts() -> None:
    names = [block.name for block in BLOCKS]
    assert len(set(names)) == len(names)
    assert SIGNAL.name not in names
    assert SIGNAL.dim == len(FACTS) == 5
