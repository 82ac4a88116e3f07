"""A full disk hides no failure and leaves no mask without its manifest, nor halves."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.casework.finished import CaseCache
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.project.documents import write_folder, write_text
from segpipe.project.fingerprint import digest_file
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.inbox.inbox import WaitingStudy
from segpipe.tools.segmenting.inbox.order import Order
from segpipe.tools.segmenting.inbox.pool import WorkerPool
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.studies import Study
from tests.support.disks import FILLER, PAGE, leave, small_disk
from tests.support.phantoms import write_dataset, write_volume
from tests.support.places import ROOT
from tests.support.segmentations import PLAIN, run
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk") as folder:
        yield folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_segmenter(tmp_path_factory.mktemp("m") / "segmenter", make_plan())


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != FILLER
    }


@pytest.mark.parametrize("ending", [".nii", ".mhd"])
def test_whatever_room_is_left_a_mask_has_its_manifest(
    disk: Path, model: Path, tmp_path: Path, ending: str
) -> None:
    """From no room at all to enough for mask, manifest and volumes.csv."""
    write_volume(tmp_path / "in" / f"a{ending}", shape=(16, 16, 16))
    seen = set()
    for pages in range(16):
        out = disk / f"{pages}{ending[1:]}"
        leave(disk, pages)
        summary = run(model, [tmp_path / "in"], out, root=tmp_path)
        found = files(out) if out.exists() else set()

        if "a" in summary.done:
            manifest = Manifest.read(out / "a.json")
            assert {*manifest.outputs, "a.json"} == found - {"volumes.csv"}
            for name, digest in manifest.outputs.items():
                assert digest_file(out / name) == digest
        else:
            assert (
                "No space left" in summary.failed["a"]
                or "check the disk" in (summary.failed["a"])
            )
            assert found == set()
        assert ("volumes.csv" in found) == (not summary.failed)
        seen.add(tuple(summary.failed))
        (disk / FILLER).unlink()
        for name in found:
            (out / name).unlink()
    assert seen >= {("a",), ()}


def fill_folder(disk: Path) -> None:
    with write_folder(disk / "folder") as part:
        (part / "a").write_bytes(bytes(10 * PAGE))


def fill_packed(disk: Path) -> None:
    grid = Grid.from_spacing((32, 32, 32), (1.0, 1.0, 1.0), "mm")
    noise = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    nifti.write_image(disk / "noise.nii.gz", noise, grid)


def fill_plain(disk: Path) -> None:
    grid = Grid.from_spacing((32, 32, 32), (1.0, 1.0, 1.0), "mm")
    nifti.write_image(disk / "zeros.nii", np.zeros(grid.shape, np.uint8), grid)


def fill_file(disk: Path) -> None:
    write_text(disk / "file" / "cases.csv", "a" * 10 * PAGE)


def fill_cache(disk: Path) -> None:
    source = disk.parent / "source"
    source.mkdir(exist_ok=True)
    np.save(source / "image.npy", np.zeros(10 * PAGE, np.uint8))
    CaseCache(disk / "cache").store("key", source)


def fill_import(disk: Path) -> None:
    source = disk.parent / "nnunet"
    write_dataset(source, cases=4, shape=(24, 24, 24))
    import_dataset(source, disk / "data", ImportOptions())


FILLS = [fill_folder, fill_packed, fill_plain, fill_file, fill_cache, fill_import]


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill.__name__)
def test_what_was_half_written_is_gone(
    disk: Path, fill: Callable[[Path], None]
) -> None:
    leave(disk, 6)
    before = files(disk)

    with pytest.raises(OSError, match="No space left"):
        fill(disk)
    assert files(disk) == before


def test_a_failure_without_room_for_its_record_keeps_its_reason(
    disk: Path, model: Path, tmp_path: Path
) -> None:
    digest = digest_file(model / "spec.json")
    record = SegmenterRecord(
        name="m", version=None, digest=digest, folds=("d",), run=None
    )
    (tmp_path / "cut.nii").write_bytes(b"")
    study = Study("cut", (tmp_path / "cut.nii",))
    out = disk / "inbox"
    (disk / FILLER).unlink(missing_ok=True)
    order = Order(
        folders=(str(model),),
        record=record,
        channels=1,
        settings=PLAIN,
        output=str(out),
    )
    out.mkdir()
    leave(disk, 0)
    pool = WorkerPool(order)
    try:
        outcome = pool.segment(WaitingStudy(study, ()), limit_s=600.0)
    finally:
        pool.stop()

    assert isinstance(outcome, Outcome)
    assert outcome.kind == "data"
    assert "found 0 bytes" in outcome.reason
    assert "No space left" in outcome.reason


def test_a_stage_says_it_in_one_sentence(disk: Path) -> None:
    project = disk / "project"
    (disk / FILLER).unlink(missing_ok=True)
    write_dataset(project / "data", cases=3)
    text = (ROOT / "params.yaml").read_text()
    write_text(project / "params.yaml", text)
    leave(disk, 0)
    answer = subprocess.run(
        [sys.executable, "-m", "segpipe", "verify"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    last = answer.stderr.strip().splitlines()[-1]
    assert answer.returncode == 1
    assert last.startswith("error: expected room on the disk, found none (")
    assert "Traceback" not in answer.stderr
