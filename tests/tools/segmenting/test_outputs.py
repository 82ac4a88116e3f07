from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats import files as formats
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.images.instances import components
from segpipe.images.values import Legend
from segpipe.images.volume import Image, ImageStream
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.rules.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.opening import open_study
from segpipe.tools.segmenting.outputs import OutputFiles, Profile, build_preview
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import build_work
from tests.support.phantoms import write_volume
from tests.support.segmentations import ALL, PLAIN, run
from tests.support.segmenters import make_plan, save_segmenter

LABEL = np.zeros((12, 10, 40), dtype=np.int16)
LABEL[2:5, 6:8, 30:35] = 7
LABEL[2:4, 6:8, 33] = 9
BRIGHT = np.where(LABEL == 7, 100.0, 1.0).astype(np.float32)[None]


def profile(array: np.ndarray, each: int = 7) -> Profile:
    result = Profile(array.shape)
    for start in range(0, array.shape[2], each):
        result.add(array[..., start : start + each])
    return result


def legend(*values: int) -> Legend:
    return Legend(tuple(f"s{value}" for value in values), values, None)


def preview(affine: np.ndarray):
    source = ImageStream.of(Image(BRIGHT, Grid(LABEL.shape, affine, "mm")))
    cuts = range(0, 40, 11)
    return build_preview(
        source,
        lambda: (LABEL[..., start : start + 11] for start in cuts),
        profile(LABEL),
        legend(0, 7, 9),
        name="m",
    )


def test_the_fullest_planes_are_found_slice_by_slice() -> None:
    found = profile(LABEL)

    assert found.voxels == (LABEL != 0).sum()
    assert found.fullest == (2, 6, 30)
    assert profile(np.zeros_like(LABEL)).fullest == (6, 5, 20)


def test_each_plane_shows_image_and_classes_of_the_same_place() -> None:
    made = preview(np.diag([1.0, 1.0, 2.0, 1.0]))

    views = {view.name: view for view in made.views}
    axial = views["axial"]
    found = {name: view.predictions["m"][0] for name, view in views.items()}
    assert axial.image[0].shape == found["axial"].shape == (10, 12)
    at_30 = LABEL[:, :, 30] == 7
    np.testing.assert_array_equal(found["axial"], at_30[::-1, ::-1].T)
    assert axial.words(0) == "slice 31 of 40 (k = 30)"
    assert set(np.unique(found["sagittal"])) == {0, 1, 2}
    assert views["sagittal"].aspect == pytest.approx(2.0)
    for name, view in views.items():
        assert (view.image[0][found[name] == 1] == 100).all()
        assert view.reference is None
        assert view.window == axial.window
    assert made.medians == [100.0]


def test_however_it_is_stored_the_patient_looks_the_same() -> None:
    """With two axes reversed, the same voxels lie at other places of the body."""
    straight = preview(np.diag([1.0, 1.0, 2.0, 1.0])).views
    turned = preview(np.diag([-1.0, -1.0, 2.0, 1.0])).views

    np.testing.assert_array_equal(
        straight[0].predictions["m"], turned[0].predictions["m"][:, ::-1, ::-1]
    )


def test_a_picture_has_one_view() -> None:
    label = np.zeros((6, 4, 1), dtype=np.int16)
    label[1, 2] = 3
    grid = Grid.from_spacing((6, 4, 1), (1.0, 1.0, 1.0), "px")
    source = ImageStream.of(Image(label[None].astype(np.float32), grid))

    made = build_preview(
        source, lambda: [label], profile(label), legend(0, 3), name="m"
    )

    assert len(made.views) == 1
    np.testing.assert_array_equal(
        made.views[0].predictions["m"][0], label[..., 0].T // 3
    )


def test_in_slices_or_at_once_the_same_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small files are read whole; with a limit of 0 voxels, slice by slice."""
    model = save_segmenter(tmp_path / "m", make_plan())
    write_volume(tmp_path / "a.nii.gz", shape=(16, 18, 40))
    run(model, [tmp_path / "a.nii.gz"], tmp_path / "once", ALL)
    monkeypatch.setattr(nifti, "LARGEST_WHOLE", 0)
    run(model, [tmp_path / "a.nii.gz"], tmp_path / "slices")

    once = formats.read_label(tmp_path / "once" / "a.nii.gz")
    slices = formats.read_label(tmp_path / "slices" / "a.nii.gz")
    assert (once.array == slices.array).all()
    assert (
        Manifest.read(tmp_path / "once" / "a.json").voxels
        == Manifest.read(tmp_path / "slices" / "a.json").voxels
    )


def test_the_rules_of_the_segmenter_are_applied_to_the_whole(tmp_path: Path) -> None:
    rule = StructureRule(keep_largest=True, smallest_mm3=0.0, fill_holes=False)
    model = save_segmenter(tmp_path / "m", make_plan(), postprocessing=(rule, rule))
    write_volume(tmp_path / "a.nii.gz")

    run(model, [tmp_path / "a.nii.gz"], tmp_path / "out")

    label = formats.read_label(tmp_path / "out" / "a.nii.gz").array
    expected = Segmenter.load(model).segment(
        nifti.read_image(tmp_path / "a.nii.gz"), build_inference(PLAIN)
    )
    assert (label == expected.array).all()
    assert components(label == 3, connectivity="all").max() == 1
    voxels = Manifest.read(tmp_path / "out" / "a.json").voxels
    assert voxels["liver"] == (label == 3).sum()


def test_instances_are_numbered_through_all_structures(tmp_path: Path) -> None:
    model = save_segmenter(tmp_path / "m", make_plan())
    write_volume(tmp_path / "a.nii.gz")

    run(model, [tmp_path / "a.nii.gz"], tmp_path / "out", ALL)

    label = formats.read_label(tmp_path / "out" / "a.nii.gz").array
    found = formats.read_label(tmp_path / "out" / "a_instances.nii.gz").array
    assert ((found > 0) == (label > 0)).all()
    assert len(set(found.ravel()) - {0}) == found.max()


def relabelled(path: Path) -> None:
    """One voxel gets another label, in a file that is whole."""
    label = formats.read_label(path)
    array = label.array.copy()
    array[0, 0, 0] = 3 if array[0, 0, 0] == 0 else 0
    formats.write_label(path, array, label.grid)


def moved(path: Path) -> None:
    """The same voxels at another place of the world."""
    label = formats.read_label(path)
    affine = label.grid.affine.copy()
    affine[0, 3] += 1
    formats.write_label(path, label.array, Grid(label.grid.shape, affine, "mm"))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64])


LABELS = {
    "a.nii": "a.nii",
    "a.nii.gz": "a.nii.gz",
    "a.nrrd": "a.nrrd",
    "a.mha": "a.mha",
    "a.mhd": "a.mhd",
    "a_instances.nii.gz": "a.nrrd",
}
FAULTS = [
    *((scan, name, f) for name, scan in LABELS.items() for f in (relabelled, moved)),
    *((scan, name, cut_off) for name, scan in LABELS.items()),
    ("a.mhd", "a.zraw", cut_off),
    ("a.nii", "a_entropy.nii.gz", cut_off),
    ("a.nii", "a_overlay.png", cut_off),
]


@pytest.mark.parametrize(("scan", "name", "change"), FAULTS)
def test_an_output_that_is_not_as_it_was_written_is_found(
    tmp_path: Path, scan: str, name: str, change: Callable[[Path], None]
) -> None:
    made = Segmenter.load(save_segmenter(tmp_path / "m", make_plan()))
    record = SegmenterRecord(name="m", version=None, digest="d", folds=("d",), run=None)
    work = build_work(made, record, ALL, tmp_path / "out")
    write_volume(tmp_path / scan)
    study = Study("a", (tmp_path / scan,))
    opened = open_study(study, made.spec.plan, spacing_mm=None, resample_tilt=False)
    found = OutputFiles(study, work, opened, Stopwatch(), tmp_path / "out")
    found.run()
    parts = found.parts, found.profile, made.spec.plan.legend
    found.write_overlay(build_preview(opened.source, *parts, name="m").views, ["odd"])
    found.check()

    change(tmp_path / "out" / name)

    with pytest.raises(OSError, match="expected the file as it was written"):
        found.check()
