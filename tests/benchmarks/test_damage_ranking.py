"""The whole pipeline on real music: a head that heard damage ranks each clean clip above its worst versions."""

import json
from pathlib import Path

import pytest

from benchmarks.damage_ranking import DamageRanking, main
from feature_export.demo.damage import LADDERS

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "audio"


@pytest.mark.slow(reason="encodes 500 clips and trains on them")
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the four published clips are not beside this checkout")
def test_real_clips_rank_above_their_worst_damage(tmp_path: Path) -> None:
    main(DamageRanking(train=CLIPS, held_out=CLIPS, out=tmp_path, trials=2, max_epochs=40))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["windows"] == 12
    assert result["same_recordings"]
    for kind in LADDERS:
        ranked = result["clean_above_worst"][kind]
        assert ranked["right"] == ranked["of"] == 12, kind


@pytest.mark.parametrize("field", [{"window_s": 0.0}, {"windows": 2}])
def test_windows_that_cannot_be_split_are_refused(tmp_path: Path, field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected window_s > 0 and windows >= 3, got"):
        DamageRanking(train=CLIPS, held_out=CLIPS, out=tmp_path, **field)  # type: ignore[arg-type]


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train: .* holds no audio, accepted are \.aac"):
        main(DamageRanking(train=tmp_path, held_out=tmp_path, out=tmp_path))
