"""What the peers may see, and what they see is the image."""

import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from benchmarks.peers.exchange import Exchange
from experiments import arms, nuclei_arms
from experiments.nuclei_sides import choose_sides, read_rows
from segpipe.evaluation.matching import match_instances

STAINS = ["brightfield/H&E"] * 4 + ["fluorescence/grey"] * 12


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A set of 16 images of 3 rows and 5 columns, as 2d_dsb2018 is laid out."""
    rng = np.random.default_rng(1)
    lines = ["id,height,width,stain"]
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, stain in enumerate(STAINS):
        name = f"n{number:02}"
        pixels = rng.integers(0, 255, (3, 5, 4), dtype=np.uint8)
        if stain.startswith("fluorescence"):
            pixels[:, :, 1:3] = pixels[:, :, :1]
        pixels[:, :, 3] = 255
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
        ids = np.zeros((3, 5), dtype=np.uint16)
        ids[0, 4] = 300
        PIL.Image.fromarray(ids).save(tmp_path / "labels" / f"{name}.png")
        lines.append(f"{name},3,5,{stain}")
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_peers_see_all_images_and_no_reference_of_a_test_image(source: Path) -> None:
    folder = source / "exchange"
    nuclei_arms.write_exchange(source, folder)

    sides = choose_sides(read_rows(source))
    images = {file.stem for file in (folder / "images").iterdir()}
    labels = {file.stem for file in (folder / "labels").iterdir()}
    assert images == set(sides)
    assert labels == {name for name, side in sides.items() if side != "test"}
    assert len(images) - len(labels) == 4


def test_pixels_and_ids_are_those_of_the_files_row_by_row(source: Path) -> None:
    folder = source / "exchange"
    nuclei_arms.write_exchange(source, folder)

    for name in ("n00", "n05"):
        png = np.asarray(PIL.Image.open(source / "images" / f"{name}.png"))
        assert (np.load(folder / "images" / f"{name}.npy") == png[:, :, :3]).all()
    ids = nuclei_arms.read_ids(source / "labels" / "n00.png")
    assert ids.shape == (3, 5)
    assert ids[0, 4] == 300
    assert np.count_nonzero(ids) == 1


def test_segpipe_gets_the_same_sides(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "project" / "data"
    nuclei_arms.import_nuclei(source, data)

    lines = (data / "splits.csv").read_text(encoding="utf-8").splitlines()[1:]
    given = dict(line.split(",") for line in lines)
    sides = choose_sides(read_rows(source))
    assert given == {name: arms.FOLD[side] for name, side in sides.items()}
    assert "n00,n00,brightfield" in (data / "patients.csv").read_text()


def test_a_peer_reads_what_was_written(source: Path) -> None:
    folder = source / "exchange"
    nuclei_arms.write_exchange(source, folder)

    given = Exchange(folder, source / "run", 1, 1)
    images, labels = given.pairs("validation")
    assert [image.shape for image in images] == [(3, 5, 3)] * 2
    assert [int(ids.max()) for ids in labels] == [300, 300]
    assert len(given.names("training")) == 10
    assert len(given.names("test")) == 4


def test_otsu_finds_two_bright_squares_in_an_environment_and_only_once(
    source: Path, tmp_path: Path
) -> None:
    ids = np.zeros((40, 60), dtype=np.uint16)
    ids[5:20, 5:20], ids[22:37, 35:50] = 1, 2
    pixels = np.repeat(np.where(ids, 200, 10).astype(np.uint8)[..., None], 3, axis=2)
    for folder, array in (("images", pixels), ("labels", ids)):
        for file in (source / folder).iterdir():
            PIL.Image.fromarray(array).save(file)
    nuclei_arms.write_exchange(source, tmp_path / "exchange")
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "otsu").symlink_to(sys.prefix)

    def run() -> arms.Run:
        return nuclei_arms.run_peer(
            "otsu",
            work=tmp_path,
            environments=tmp_path / "peers",
            seconds=1,
            seed=1,
        )

    first = run()
    tested = [
        n for n, side in choose_sides(read_rows(source)).items() if side == "test"
    ]
    assert [
        match_instances(ids, nuclei_arms.read_prediction(first, name)).average_precision
        for name in tested
    ] == [1] * 4
    written = (first.folder / "about.json").stat().st_mtime_ns
    assert run() == first
    assert (first.folder / "about.json").stat().st_mtime_ns == written
