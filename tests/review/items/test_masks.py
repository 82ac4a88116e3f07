"""Masks that predict made are taken, others are segmented once, and both are equal."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.split import read_split
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import md5_folder
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import Registered
from segpipe.registry.mlflow_model.provenance import Provenance
from segpipe.review.items.masks import Side, segmented
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from tests.support.projects import one_thread


@pytest.fixture
def paths(trained: Path, tmp_path: Path) -> Paths:
    shutil.copytree(trained, tmp_path / "project")
    return Paths(tmp_path / "project")


def side(paths: Paths) -> Side:
    """The model good, as if it were fetched."""
    fold = paths.artifacts / "train" / "good" / "0" / "segmenter"
    digest = segmenter_digest(fold)
    registered = Registered(fold, "balls", "1", None, {fold: digest}, True, {})
    made = Provenance(
        format_version=1,
        model="good",
        digest=digest,
        patients=(),
        data=None,
        lock=None,
        commit=None,
        dirty=False,
        metrics={},
    )
    return Side("candidate", registered, made, Segmenter.ensemble([fold]))


def read(paths: Paths) -> tuple[np.ndarray, str, bool]:
    """A mask, its figures, and whether anything was segmented."""
    cases = read_cases(paths.artifacts)
    name = read_split(paths.artifacts).test[0]
    with segmented(
        side(paths), [name], cases, compute=one_thread(), paths=paths
    ) as masks:
        found = masks.read(cases, name)
        assert found is not None
        assert masks.read(cases, read_split(paths.artifacts).test[1]) is None
        rows = {one: masks.rows[name, one] for one in cases.structures[1:]}
    return found, str(rows), (paths.cache / "comparison").exists()


def test_what_predict_made_is_what_the_segmenter_makes_again(paths: Paths) -> None:
    taken, figures, before = read(paths)
    params = json.loads(paths.params.read_text())
    paths.params.write_text(json.dumps(params | {"models": ["poor"]}))

    made, other, after = read(paths)

    assert (before, after) == (False, True)
    assert taken.any()
    assert (made == taken).all()
    assert other == figures


def test_a_mask_that_somebody_changed_is_not_shown(paths: Paths) -> None:
    folder = paths.artifacts / "predict" / "good"
    (paths.root / "dvc.lock").write_text(
        "stages:\n  s:\n    outs:\n    - path: artifacts/predict/good\n"
        f"      md5: {md5_folder(folder)}.dir\n"
    )
    read(paths)
    one, other = sorted(folder.glob("*.nii*"))[:2]
    shutil.copy(one, other)

    with pytest.raises(DataError, match="expected the folder that its stage wrote"):
        read(paths)
