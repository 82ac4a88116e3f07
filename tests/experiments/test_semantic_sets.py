"""All methods learn from the same cases, and no method sees a reference of a test."""

from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import PIL.Image
import pytest

from experiments.instances import SEGPIPE
from experiments.semantic_sets import SETS, choose_sides, read_sides, write_set
from segpipe.project.params import read_params
from tests.support.places import ROOT

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])


def save(path: Path, array: np.ndarray) -> None:
    """Write a volume whose second axis runs from feet to head, 2 mm a voxel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE[[0, 2, 1, 3]]), path)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The set 3d_totalseg_ct, 4 x 15 x 5 voxels: values 3 and 117 in each slice.

    The first slice and the last two hold one value only.
    """
    label = np.zeros((4, 15, 5), dtype=np.uint8)
    label[0], label[1] = 3, 117
    image = np.zeros(label.shape, dtype=np.int16)
    image[:, 1:13] = np.arange(12)[:, None]
    image[0, 1:13] += 100
    folder = tmp_path / "3d_totalseg_ct"
    save(folder / "images" / "example_ct_sm.nii.gz", image)
    save(folder / "labels" / "example_seg.nii.gz", label)
    return folder


def test_every_third_patient_is_tested_and_every_sixth_other_one_validates() -> None:
    sides = choose_sides({f"p{n:02}" for n in range(98)})

    assert Counter(sides.values()) == {"training": 54, "validation": 11, "test": 33}
    assert sides["p00"] == sides["p03"] == "test"
    assert sides["p04"] == "validation"


def test_a_single_volume_is_cut_across_the_axis_from_feet_to_head(volume: Path) -> None:
    one, raw = SETS["3d_totalseg_ct"], volume.parent / "raw"
    write_set(one, volume, raw, volume.parent / "references")

    assert [side for _, side in read_sides(raw)] == [
        "test",
        "training",
        "training",
        "test",
        "validation",
        "training",
    ]
    slab = nib.load(raw / "imagesTr" / "slab2_0000.nii.gz")
    assert slab.shape == (4, 2, 5)
    assert np.unique(slab.dataobj).tolist() == [4, 5, 104, 105]
    assert slab.affine[2, 3] == 5 * 2.0
    drawn = nib.load(raw / "labelsTr" / "slab2.nii.gz")
    assert np.unique(drawn.dataobj).tolist() == [0, 1, 2]
    assert '"structure 117": 2' in (raw / "dataset.json").read_text()


def test_methods_see_no_reference_of_a_test(volume: Path) -> None:
    raw, references = volume.parent / "raw", volume.parent / "references"
    write_set(SETS["3d_totalseg_ct"], volume, raw, references)

    def names(folder: Path) -> set[str]:
        return {file.name for file in folder.iterdir()}

    assert names(references) == {"slab0.nii.gz", "slab3.nii.gz"}
    assert not names(references) & names(raw / "labelsTr")
    assert len(names(raw / "labelsTr")) == len(names(raw / "imagesTr")) == 4


def test_both_eyes_of_a_patient_are_on_one_side(tmp_path: Path) -> None:
    source = tmp_path / "2d_chasedb1"
    for eye in [f"Image_{n:02}{side}" for n in (1, 2, 3, 4) for side in "LR"]:
        for place, mode in (
            (f"images/{eye}.jpg", "RGB"),
            (f"labels/{eye}_1stHO.png", "1"),
        ):
            (source / place).parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.new(mode, (4, 3), 1).save(source / place)
    raw = tmp_path / "raw"
    write_set(SETS["2d_chasedb1"], source, raw, tmp_path / "references")

    tested = {name for name, side in read_sides(raw) if side == "test"}
    assert tested == {"Image_01L", "Image_01R", "Image_04L", "Image_04R"}
    mask = np.asarray(PIL.Image.open(raw / "labelsTr" / "Image_02L.png"))
    assert mask.shape == (3, 4)
    assert (mask == 1).all()


def test_each_set_names_presets_that_have_its_model() -> None:
    for one in SETS.values():
        for preset, model in one.presets.items():
            assert model in read_params(ROOT / "presets" / f"{preset}.yaml")["train"]
    for preset, model in SEGPIPE.items():
        assert model in read_params(ROOT / "presets" / f"{preset}.yaml")["train"]
