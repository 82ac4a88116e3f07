"""Segmenting and looking after a project, from the command line."""

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from tests.support.places import ROOT
from tests.support.segmenters import make_plan, save_segmenter

ON_CPU = ["--device", "cpu", "--precision", "fp32", "--threads", "1"]


@pytest.fixture
def project(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A segmenter and an image."""
    monkeypatch.chdir(paths.root)
    save_segmenter(paths.root / "segmenter", make_plan())
    noise = np.random.default_rng(0).normal(size=(16, 18, 20)).astype(np.float32)
    nifti.write_image(Path("a.nii.gz"), noise, Grid(noise.shape, np.eye(4), "mm"))
    return paths.root


def segment(*words: str) -> list[str]:
    return ["segment", "segmenter", "a.nii.gz", "--output", "out", *ON_CPU, *words]


def test_segment_writes_what_the_options_ask_for(project: Path) -> None:
    result = CliRunner().invoke(app, segment("--no-overlay"))
    assert result.exit_code == 0
    plain = {path.name for path in (project / "out").iterdir()}
    CliRunner().invoke(app, segment("--probabilities", "--force"))

    more = {path.name for path in (project / "out").iterdir()} - plain
    assert {"a.nii.gz", "a.json"} <= plain
    assert not [name for name in plain if name.endswith(".png")]
    assert [name for name in more if name.endswith(".png")]
    assert [name for name in more if "probability" in name]


def test_a_case_that_fails_makes_the_command_fail(project: Path) -> None:
    Path("a.nii.gz").write_bytes(b"no image")
    result = CliRunner().invoke(app, segment())

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)


def test_lineage_prints_the_inputs_of_a_mask(project: Path) -> None:
    CliRunner().invoke(app, segment("--no-overlay"))
    result = CliRunner().invoke(app, ["lineage", "out/a.nii.gz"])

    assert "a.nii.gz, 1 files, sha256" in result.output


@pytest.mark.parametrize("spacing", ["1", "1,1,1"])
def test_pictures_have_two_spacings(project: Path, spacing: str) -> None:
    result = CliRunner().invoke(app, segment("--spacing-mm", spacing))

    assert isinstance(result.exception, DataError)
    assert f"--spacing-mm {spacing}: expected COLUMNS,ROWS" in str(result.exception)


def test_a_preset_becomes_params_yaml(project: Path) -> None:
    result = CliRunner().invoke(app, ["preset", "hippocampus"])

    assert result.exit_code == 0
    written = (project / "params.yaml").read_bytes()
    assert written == (ROOT / "presets" / "hippocampus.yaml").read_bytes()


def test_device_says_what_params_yaml_asks_for(project: Path) -> None:
    values = "device: cpu, precision: fp32, threads: 1, workers: 0, compile: false"
    Path("params.yaml").write_text(f"format_version: 1\ncompute: {{{values}}}\n")
    result = CliRunner().invoke(app, ["device"])

    assert result.output == "cpu, fp32, 1 threads\n"


def test_prune_deletes_only_when_told(project: Path) -> None:
    old = project / ".cache" / "plan" / "old"
    old.mkdir(parents=True)
    os.utime(old, (1e9, 1e9))

    listed = CliRunner().invoke(app, ["prune"])
    assert old.is_dir()
    deleted = CliRunner().invoke(app, ["prune", "--delete"])

    assert listed.output.endswith("1 found; --delete deletes them\n")
    assert deleted.output.endswith("1 deleted\n")
    assert not old.exists()
