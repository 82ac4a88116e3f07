import hashlib
from pathlib import Path

from segpipe.tools.segmenting.case import is_finished, record_inputs
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.studies import Study, find_studies
from tests.support.dicoms import SERIES, write_series
from tests.support.phantoms import write_volume
from tests.support.segmentations import run
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


def test_a_case_is_finished_while_its_manifest_and_outputs_stay(
    tmp_path: Path,
) -> None:
    model, output = save_segmenter(tmp_path / "m", make_plan()), tmp_path / "out"
    write_volume(tmp_path / "a.nii")
    study = Study("a", (tmp_path / "a.nii",))
    run(model, [tmp_path / "a.nii"], output)
    key = Manifest.read(output / "a.json").key

    assert is_finished(study, key, output)
    assert not is_finished(study, "another key", output)
    assert not is_finished(Study("b", study.files), key, output)
    (output / "a.nii").unlink()
    assert not is_finished(study, key, output)
