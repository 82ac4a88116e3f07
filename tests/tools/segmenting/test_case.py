import hashlib
from pathlib import Path

import pytest

from segpipe.images.formats import files as formats
from segpipe.images.formats import nifti
from segpipe.images.instances import components
from segpipe.segmenter.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.tools.segmenting.case import record_inputs
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.studies import Study, find_studies
from tests.support.dicoms import SERIES, write_series
from tests.support.phantoms import write_volume
from tests.support.segmentations import ALL, PLAIN, run
from tests.support.segmenters import make_plan, save_segmenter


def test_inputs_are_known_by_their_bytes(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii")

    (record,) = record_inputs(Study("a", (tmp_path / "a.nii",)))

    assert (
        record.sha256 == hashlib.sha256((tmp_path / "a.nii").read_bytes()).hexdigest()
    )
    assert record.name == "a.nii"


def test_a_series_is_known_however_its_files_are_called(tmp_path: Path) -> None:
    write_series(tmp_path / "x")
    write_series(tmp_path / "y", stem="other")

    def of(folder: str):
        found = find_studies([tmp_path / folder], channels=1, output=tmp_path / "o")
        return record_inputs(found[0])[0]

    assert of("x") == of("y")
    assert of("x").name == SERIES


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
