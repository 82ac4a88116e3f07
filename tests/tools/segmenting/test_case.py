import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from segpipe.images.formats.files import read_label
from segpipe.tools.segmenting import case
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


def test_a_mask_of_two_files_is_known_skipped_redone_and_copied_as_two(
    tmp_path: Path,
) -> None:
    model, output = save_segmenter(tmp_path / "m", make_plan()), tmp_path / "out"
    write_volume(tmp_path / "in" / "a.mhd")

    first = run(model, [tmp_path / "in"], output)
    listed = {*Manifest.read(output / "a.json").outputs}
    again = run(model, [tmp_path / "in"], output)
    forced = run(model, [tmp_path / "in"], output, force=True)
    (output / "a.zraw").write_bytes(b"x")
    damaged = run(model, [tmp_path / "in"], output)
    shutil.copytree(output, tmp_path / "copy")
    copied = run(model, [tmp_path / "in"], tmp_path / "copy")

    assert listed == {"a.mhd", "a.zraw"}
    assert {path.name for path in output.iterdir()} == {
        *listed,
        "a.json",
        "volumes.csv",
    }
    assert (first.done, again.skipped, forced.done) == (("a",), ("a",), ("a",))
    assert (damaged.done, copied.skipped) == (("a",), ("a",))
    label = read_label(tmp_path / "copy" / "a.mhd").array
    voxels = Manifest.read(output / "a.json").voxels
    assert voxels["liver"] == (label == 3).sum()


def test_a_mask_whose_voxels_the_manifest_does_not_list_is_done_again(
    tmp_path: Path,
) -> None:
    """As older versions wrote it: the header in the manifest, its voxels hidden."""
    model, output = save_segmenter(tmp_path / "m", make_plan()), tmp_path / "out"
    write_volume(tmp_path / "a.mhd")
    run(model, [tmp_path / "a.mhd"], output)
    (output / "a.zraw").rename(output / ".part.a.zraw")
    head = (output / "a.mhd").read_bytes().replace(b" a.zraw", b" .part.a.zraw")
    (output / "a.mhd").write_bytes(head)
    manifest = Manifest.read(output / "a.json")
    digest = hashlib.sha256(head).hexdigest()
    manifest.model_copy(update={"outputs": {"a.mhd": digest}}).write(output / "a.json")
    assert read_label(output / "a.mhd")

    assert run(model, [tmp_path / "a.mhd"], output).done == ("a",)
    assert {path.name for path in output.iterdir()} == {
        "a.mhd",
        "a.zraw",
        "a.json",
        "volumes.csv",
    }


def test_voxels_beside_a_header_are_part_of_the_input(tmp_path: Path) -> None:
    """The header stays the same when another image of its size takes its place."""
    model, output = save_segmenter(tmp_path / "m", make_plan()), tmp_path / "out"
    for seed in (0, 1):
        image = np.random.default_rng(seed).integers(0, 99, (20, 18, 16), np.int16)
        simple = SimpleITK.GetImageFromArray(image)
        SimpleITK.WriteImage(simple, str(tmp_path / f"{seed}.mhd"))
    shutil.copyfile(tmp_path / "0.mhd", tmp_path / "a.mhd")
    head = (tmp_path / "a.mhd").read_text().replace("0.raw", "a.raw")
    (tmp_path / "a.mhd").write_text(head)

    done = []
    for seed in (0, 0, 1):
        shutil.copyfile(tmp_path / f"{seed}.raw", tmp_path / "a.raw")
        done.append(run(model, [tmp_path / "a.mhd"], output).done)

    assert done == [("a",), (), ("a",)]
    (record,) = Manifest.read(output / "a.json").inputs
    assert (record.name, record.files) == ("a.mhd", 2)


def test_an_input_that_changes_while_it_is_read_gives_no_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digests of its manifest would be those of another image."""
    model, output = save_segmenter(tmp_path / "m", make_plan()), tmp_path / "out"
    write_volume(tmp_path / "a.nii")
    run(model, [tmp_path / "a.nii"], output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    real = case.build_preview

    def change(*given, **named):
        write_volume(tmp_path / "a.nii", seed=1)
        return real(*given, **named)

    monkeypatch.setattr(case, "build_preview", change)
    failed = run(model, [tmp_path / "a.nii"], output, force=True).failed
    monkeypatch.undo()

    assert "expected files that stay as they are" in failed["a"]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert run(model, [tmp_path / "a.nii"], output).done == ("a",)  # the mend


@pytest.mark.parametrize("checkout", [True, False])
def test_a_manifest_says_which_segpipe_and_no_strangers_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: bool
) -> None:
    """An environment within a study lies in the study's repository, not in ours."""
    monkeypatch.setattr(case, "in_checkout", lambda: checkout)
    monkeypatch.setattr(case, "git_tags", lambda root: {"git.commit": "c0ffee"})
    model, output = save_segmenter(tmp_path / "m", make_plan()), tmp_path / "out"
    write_volume(tmp_path / "a.nii")
    run(model, [tmp_path / "a.nii"], output)

    made = Manifest.read(output / "a.json").segpipe
    assert (made["version"], len(made["code"])) == (version("segpipe"), 64)
    assert ("git.commit" in made) is checkout
