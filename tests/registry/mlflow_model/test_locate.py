"""A segmenter is found in a folder without MLflow, which takes seconds to import."""

import subprocess
import sys
from pathlib import Path

from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.segmenter.spec import find_folds
from tests.support.segmenters import make_plan, save_segmenter


def test_folds_are_found_in_their_order(tmp_path: Path) -> None:
    for fold in (0, 2, 10):
        save_segmenter(tmp_path / "m" / str(fold) / "segmenter", make_plan(), seed=fold)

    folders = find_folds(tmp_path / "m")

    assert [folder.parent.name for folder in folders] == ["0", "2", "10"]
    record = load_segmenter(str(tmp_path / "m"), Paths(tmp_path))[1]
    assert len(record.folds) == 3


def test_who_segments_from_a_folder_does_not_wait_for_mlflow() -> None:
    words = (
        "import segpipe.tools.segmenting.run, sys; sys.exit('mlflow' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", words], check=True)
