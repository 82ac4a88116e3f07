"""segpipe learns from what nnU-Net learns from, in the seconds that it has."""

from pathlib import Path

import numpy as np
import PIL.Image

from experiments.semantic_arms import import_set
from experiments.semantic_sets import SETS, write_set


def test_segpipe_gets_the_files_and_sides_of_nnunet_and_no_test(tmp_path: Path) -> None:
    one, source = SETS["2d_chasedb1"], tmp_path / "2d_chasedb1"
    rng = np.random.default_rng(1)
    for eye in [f"Image_{n:02}{side}" for n in range(1, 8) for side in "LR"]:
        colours = rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)
        mask = np.zeros((8, 6), dtype=bool)
        mask[2:4] = True
        for folder, name, array in (
            ("images", f"{eye}.jpg", colours),
            ("labels", f"{eye}_1stHO.png", mask),
        ):
            (source / folder).mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(array).save(source / folder / name)
    raw, data = tmp_path / "raw", tmp_path / "segpipe" / "data"
    write_set(one, source, raw, tmp_path / "references")
    import_set(raw, data)

    sides = (data / "splits.csv").read_text(encoding="utf-8").split()[1:]
    assert sides == ["Image_02,1", "Image_03,1", "Image_05,0", "Image_06,1"]
    names = {file.name for file in (data / "labelsTr").iterdir()}
    assert names == {file.name for file in (raw / "labelsTr").iterdir()}
    assert len(names) == 8
