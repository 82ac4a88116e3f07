import json
import shutil
from pathlib import Path

import pytest

from segpipe.project.documents import write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.registry.record import record
from segpipe.tools.lineage import find_manifest, lineage
from tests.support.phantoms import write_volume
from tests.support.segmentations import run
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.trainings import write_training

LOCK = """\
stages:
  verify:
    deps:
    - path: data
      md5: 0123456789abcdef.dir
"""


@pytest.fixture
def paths(paths: Paths, tmp_path: Path) -> Paths:
    """A project with a trained fold and a mask that it made."""
    write_text(paths.params, "format_version: 1\nmodels: [vnet]\nfolds: [0]\n")
    write_text(paths.root / "dvc.lock", LOCK)
    write_training(paths, "vnet", 0)
    folder = paths.artifacts / "train" / "vnet" / "0" / "segmenter"
    save_segmenter(folder, make_plan())
    write_volume(tmp_path / "a.nii.gz")
    run(folder.parents[1], [tmp_path / "a.nii.gz"], tmp_path / "out", root=paths.root)
    return paths


def test_the_chain_goes_from_the_mask_to_the_data(paths: Paths, tmp_path: Path) -> None:
    record(paths)

    told = {line[:10].strip(): line[11:] for line in lineage_of(paths, tmp_path)}

    digest = load_segmenter(str(paths.artifacts / "train" / "vnet"), paths)[1].digest
    assert told["mask"].startswith("a.nii.gz, made ")
    assert told["input"].startswith("a.nii.gz, 1 files, sha256 ")
    assert digest in told["segmenter"]
    assert "train/vnet/0/segmenter" in told["found in"]
    assert told["run"].startswith("vnet-0 ")
    assert told["data"] == "md5 0123456789abcdef.dir"


def lineage_of(paths: Paths, tmp_path: Path) -> list[str]:
    return lineage(tmp_path / "out" / "a.nii.gz", paths)


def test_the_run_is_found_when_the_artifacts_are_gone(
    paths: Paths, tmp_path: Path
) -> None:
    record(paths)
    shutil.rmtree(paths.artifacts)

    said = "\n".join(lineage_of(paths, tmp_path))

    assert "found in   not in" in said
    assert "run        vnet-0 " in said


def test_what_no_store_knows_is_said(paths: Paths, tmp_path: Path) -> None:
    assert "`segpipe record` adds it" in "\n".join(lineage_of(paths, tmp_path))


def test_a_mask_that_was_changed_or_moved_is_told_apart(
    paths: Paths, tmp_path: Path
) -> None:
    shutil.copyfile(tmp_path / "out" / "a.nii.gz", tmp_path / "a2.nii.gz")
    with pytest.raises(DataError, match="expected a manifest beside it"):
        lineage(tmp_path / "a2.nii.gz", paths)

    shutil.move(tmp_path / "a2.nii.gz", tmp_path / "out" / "renamed.nii.gz")
    assert lineage(tmp_path / "out" / "renamed.nii.gz", paths)

    (tmp_path / "out" / "a.nii.gz").write_bytes(b"drawn over")
    with pytest.raises(DataError, match="it was changed after it was made"):
        lineage_of(paths, tmp_path)


def test_equal_masks_are_traced_to_their_own_cases(
    paths: Paths, tmp_path: Path
) -> None:
    """Two empty masks have one digest; the name says which case each belongs to."""
    output = tmp_path / "out"
    alice = json.loads((output / "a.json").read_text())
    for name in ("bob", "carol"):
        shutil.copyfile(output / "a.nii.gz", output / f"{name}.nii.gz")
        theirs = alice | {
            "case": name,
            "inputs": [{"name": f"{name}.nii.gz", "files": 1, "sha256": name}],
            "outputs": {f"{name}.nii.gz": alice["outputs"]["a.nii.gz"]},
        }
        write_json(output / f"{name}.json", theirs)

    for name in ("a", "bob", "carol"):
        found, manifest = find_manifest(output / f"{name}.nii.gz")
        assert (found.name, manifest.inputs[0].name) == (
            f"{name}.json",
            f"{name}.nii.gz",
        )
    (output / "bob.nii.gz").rename(output / "renamed.nii.gz")
    with pytest.raises(DataError, match=r"found a\.json, bob\.json, carol\.json"):
        find_manifest(output / "renamed.nii.gz")
    (output / "renamed.nii.gz").rename(output / "bob.nii.gz")  # the mend
    assert find_manifest(output / "bob.nii.gz")[1].case == "bob"
    (output / "a.nii.gz").write_bytes(b"another")
    shutil.copyfile(output / "a.nii.gz", output / "bob.nii.gz")
    with pytest.raises(DataError, match=r"expected the content that bob\.json"):
        find_manifest(output / "bob.nii.gz")
