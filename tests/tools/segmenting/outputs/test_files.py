from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest

from segpipe.images.formats import files as formats
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.images.instances import components
from segpipe.images.values import Legend
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.rules.instances import InstanceRule
from segpipe.segmenter.rules.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.segmenter.spec import spec_file
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.opening import open_study
from segpipe.tools.segmenting.outputs import files
from segpipe.tools.segmenting.outputs.files import OutputFiles, name_instances
from segpipe.tools.segmenting.outputs.preview import build_preview
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import build_work
from tests.support.dicoms import write_series
from tests.support.phantoms import write_volume
from tests.support.segmentations import ALL, PLAIN, run
from tests.support.segmenters import make_plan, save_segmenter

BLOCKS = np.kron(
    np.random.default_rng(1).integers(-500, 900, (2, 2, 2)), np.ones((8, 8, 10))
).astype(np.int16)


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


def test_few_instances_of_a_dicom_series_are_segments_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by highdicom; a segment more than is allowed, and there is no such file."""
    model = save_segmenter(tmp_path / "m", make_plan())
    write_series(tmp_path / "in" / "a", voxels=BLOCKS)
    given = PLAIN.model_copy(update={"instances": True})
    (case,) = run(model, [tmp_path / "in"], tmp_path / "out", given).done
    label = formats.read_label(tmp_path / "out" / f"{case}_instances.nii.gz").array
    count = int(label.max())

    seg = highdicom.seg.segread(tmp_path / "out" / f"{case}_instances.dcm")
    planes = seg.get_pixels_by_source_instance(
        [uid for _, _, uid in seg.get_source_image_uids()],
        ignore_spatial_locations=True,
    )
    names = [seg.get_segment_description(n + 1).SegmentLabel for n in range(count)]

    assert seg.number_of_segments == count > 1
    sizes = planes.reshape(-1, count).astype(bool).sum(axis=0)
    assert sizes.tolist() == np.bincount(label.ravel())[1:].tolist()
    assert {name.rsplit(" ", 1)[0] for name in names} <= {"liver", "left kidney"}
    assert [name.rsplit(" ", 1)[1] for name in names] == [
        str(number + 1) for number in range(count)
    ]
    monkeypatch.setattr(files, "FEW", count - 1)
    run(model, [tmp_path / "in"], tmp_path / "many", given)
    assert not list((tmp_path / "many").glob("*_instances.dcm"))


def test_instances_keep_their_ids_where_some_were_dropped() -> None:
    ids = np.array([[[0, 5], [2, 2]], [[5, 0], [9, 9]]])
    labels = np.array([[[0, 3], [7, 7]], [[3, 0], [7, 7]]])
    legend = Legend(("background", "liver", "lesion"), (0, 3, 7), None)

    made = name_instances(ids, labels, legend)

    assert made.structures == ("background", "lesion 2", "liver 5", "lesion 9")
    assert made.values == (0, 2, 5, 9)


def test_a_segmenter_that_drops_small_instances_lists_the_others(
    tmp_path: Path,
) -> None:
    """The smallest instances are dropped, so that ids have gaps."""
    model = save_segmenter(tmp_path / "m", make_plan())
    rule = InstanceRule(seeds="components", threshold=0, smallest_mm3=5)
    spec = Segmenter.load(model).spec.model_copy(update={"instances": (rule, rule)})
    spec.write(spec_file(model))
    write_series(tmp_path / "in" / "a", voxels=BLOCKS)
    given = PLAIN.model_copy(update={"instances": True})

    (case,) = run(model, [tmp_path / "in"], tmp_path / "out", given).done

    label = formats.read_label(tmp_path / "out" / f"{case}_instances.nii.gz").array
    seg = highdicom.seg.segread(tmp_path / "out" / f"{case}_instances.dcm")
    ids = [
        int(seg.get_segment_description(number).SegmentLabel.rsplit(" ", 1)[1])
        for number in range(1, seg.number_of_segments + 1)
    ]
    assert ids == np.unique(label)[1:].tolist()
    assert len(ids) < ids[-1]


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
