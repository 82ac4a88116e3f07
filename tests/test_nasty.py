"""Awkward, broken and misleading files: a right load or a DataError, never a surprise.

tests/nasty.csv says of each file what comes of it. The files themselves are real and
not ours to pass on; what can be derived is made anew in tests/io and in test_findings.
"""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.description import NIFTI
from segpipe.images.formats import files as formats
from segpipe.images.formats.nifti import read_image, read_label, write_label
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from tests.support.projects import VERIFY, changed

REAL = os.environ.get("SEGPIPE_REAL_DATA")
NASTY = Path(REAL or "", "nasty")
TABLE = Path(__file__).with_name("nasty.csv")

pytestmark = pytest.mark.skipif(
    REAL is None, reason="the files lie where SEGPIPE_REAL_DATA says, which is not set"
)


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_file() -> None:
    with (NASTY / "index.csv").open(encoding="utf-8", newline="") as file:
        listed = [row["file"] for row in csv.DictReader(file)]

    assert [row["file"] for row in rows()] == listed


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"][-40:])
def test_a_file_loads_rightly_or_is_refused_with_words(row: dict[str, str]) -> None:
    path = NASTY / row["file"]
    read = formats.read_label if row["as"] == "label" else formats.read_image
    if row["outcome"] == "refused":
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: expected ")
        assert row["words"] in str(caught.value)
        assert "; " in str(caught.value)  # the mend
        return
    found = read(path)

    assert "x".join(map(str, found.array.shape)) == row["shape"]
    spacing = ", ".join(f"{step:.3f}" for step in found.grid.spacing)
    assert spacing == row["spacing"]
    assert float(found.array.min()) == pytest.approx(float(row["lowest"]))
    assert float(found.array.max()) == pytest.approx(float(row["highest"]))


def test_one_brain_in_eight_orientations_is_one_brain() -> None:
    files = sorted((NASTY / "nifti" / "orientations").iterdir())
    images = [read_image(file) for file in files]
    turned = [image.grid.to_canonical.apply(image.array) for image in images]
    grids = [image.grid.reoriented(image.grid.to_canonical) for image in images]

    assert len(files) == 8
    assert all(np.array_equal(turned[0], other) for other in turned)
    assert all(grids[0].matches(other, tolerance=0.01) for other in grids)


# Label maps for hippocampus_001 at the door of verify: None passes.
LABELS = {
    "label_shifted_affine": "0.5 mm apart",
    "label_float_noise": None,
    "label_int64": None,
    "label_0_255": "found 255 (",
    "label_negative": None,
    "label_extra_dim": None,
    "label_wrong_shape": "another shape",
    "label_transposed": "another shape",
}


def write_project(folder: Path, image: Path, label: Path) -> Paths:
    """One case, and a second that is sound."""
    paths = Paths(folder)
    sound = Path(REAL or "", "3d_msd_hippocampus")
    for name, files in {
        "a": (image, label),
        "b": tuple(sound / f / "hippocampus_003.nii.gz" for f in ("images", "labels")),
    }.items():
        for place, file in zip(
            (f"imagesTr/{name}_0000", f"labelsTr/{name}"), files, strict=True
        ):
            goal = paths.data / f"{place}.nii.gz"
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, goal)
    write_json(
        paths.data / "dataset.json",
        {
            "channel_names": {"0": "MRI"},
            "labels": {"background": 0, "anterior": 1, "posterior": 2, "ignore": -1},
            "numTraining": 2,
            "file_ending": NIFTI[1],
        },
    )
    return paths


@pytest.mark.parametrize("name", LABELS)
def test_verify_takes_only_labels_that_fit(name: str, tmp_path: Path) -> None:
    image = Path(REAL or "", "3d_msd_hippocampus", "images", "hippocampus_001.nii.gz")
    label = NASTY / "derived" / f"{name}.nii.gz"
    paths = write_project(tmp_path, image, label)
    words = LABELS[name]
    if words is None:
        verify.run(VERIFY, networks={"m": 3}, paths=paths)
        return

    with pytest.raises(DataError) as caught:
        verify.run(VERIFY, networks={"m": 3}, paths=paths)
    assert words in str(caught.value)
    assert "labelsTr/a.nii.gz: expected" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("constant", "zero variance"),
        ("two_d", "expected either images or volumes"),
        ("single_slice", "expected either images or volumes"),
        ("inf_nan", "found 5 NaN or infinite"),
    ],
)
def test_verify_takes_only_images_to_train_on(
    name: str, words: str, tmp_path: Path
) -> None:
    image = NASTY / "derived" / f"{name}.nii.gz"
    label = tmp_path / "label.nii.gz"
    grid = read_label(NASTY / "derived" / "label_int64.nii.gz").grid
    shape = grid.shape if name not in ("two_d", "single_slice") else (35, 51, 1)
    write_label(label, np.ones(shape, np.uint8), grid.resampled(shape))

    with pytest.raises(DataError) as caught:
        verify.run(
            VERIFY,
            networks={"m": 3},
            paths=write_project(tmp_path / "p", image, label),
        )
    assert words in str(caught.value)


def test_images_and_labels_without_a_partner_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label .*hippocampus_010.*hippocampus_118"):
        import_dataset(
            NASTY / "pairing",
            tmp_path / "data",
            ImportOptions(images="images", labels="labels"),
        )


def test_an_empty_label_is_counted_or_refused(tmp_path: Path) -> None:
    label = NASTY / "nifti" / "sub-unf02_T2w_labels-disc-manual.nii.gz"
    grid = read_label(label).grid
    image = tmp_path / "image.nii.gz"
    noise = np.random.default_rng(0).integers(0, 99, grid.shape).astype(np.uint8)
    write_label(image, noise, grid)
    paths = write_project(tmp_path / "p", image, label)

    verify.run(VERIFY, networks={"m": 3}, paths=paths)
    strict = changed(VERIFY, empty_label="fault")
    with pytest.raises(DataError, match="at least one structure, found none"):
        verify.run(strict, networks={"m": 3}, paths=paths)
