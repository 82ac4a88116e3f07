import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from segpipe.project.errors import DataError
from segpipe.project.origin.study import Study
from segpipe.project.paths import Paths
from segpipe.stages import code
from tests.support.places import ROOT

MODELS = {"flat": "unet2d", "deep": "unet3d"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A folder with pins and without segpipe/ in it: segpipe is imported."""
    shutil.copy(ROOT / "requirements-numerics.lock", tmp_path)
    return Paths(tmp_path)


def read(paths: Paths, name: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(
        (paths.artifacts / "code" / f"{name}.json").read_text()
    )
    return found


def test_each_stage_has_a_file_and_each_model_of_a_stage_with_networks(
    paths: Paths,
) -> None:
    code.run(networks=MODELS, paths=paths)

    stages = {path.stem for path in (ROOT / "segpipe/stages").glob("[!_]*.py")}
    folder = paths.artifacts / "code"
    assert {path.stem for path in folder.glob("*.json")} == stages
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "plan",
        "predict",
        "report",
        "train",
    }
    assert {path.stem for path in (folder / "train").iterdir()} == set(MODELS)


def test_a_models_file_counts_its_own_network_and_a_stages_file_all(
    paths: Paths,
) -> None:
    code.run(networks=MODELS, paths=paths)

    flat, both = read(paths, "train/flat")["modules"], read(paths, "train")["modules"]
    assert "segpipe.networks.unet2d" in flat
    assert "segpipe.networks.unet3d" not in flat
    assert {"segpipe.networks.unet2d", "segpipe.networks.unet3d"} <= set(both)


def test_the_pins_of_numerical_packages_count(paths: Paths) -> None:
    code.run(networks=MODELS, paths=paths)
    pins = paths.pins.read_text().split()

    packages = read(paths, "split")["packages"]
    assert [f"{name}=={version}" for name, version in packages.items()] == pins


def test_a_model_of_monai_counts_the_code_around_it_and_monais_version(
    paths: Paths,
) -> None:
    """MONAI's own modules are not of segpipe: their version stands for them."""
    code.run(networks={"one": "monai/UNet", "other": "unet3d"}, paths=paths)
    before = read(paths, "train/one")
    pins = paths.pins.read_text()
    paths.pins.write_text(re.sub("(?m)^monai==.*$", "monai==9.9.9", pins))
    code.run(networks={"one": "monai/UNet"}, paths=paths)
    after = read(paths, "train/one")

    own = {"segpipe.networks.monai", "segpipe.networks.foreign"}
    assert own <= set(before["modules"])
    assert "segpipe.networks.unet3d" not in before["modules"]
    assert before["packages"]["monai"] == version("monai")
    assert after["modules"] == before["modules"]
    assert after["packages"] == {**before["packages"], "monai": "9.9.9"}


def test_a_model_that_is_no_longer_listed_has_no_file(paths: Paths) -> None:
    code.run(networks=MODELS, paths=paths)
    code.run(networks={"flat": "unet2d"}, paths=paths)

    assert not (paths.artifacts / "code/train/deep.json").exists()


def test_a_network_that_is_none_is_refused(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"train.deep.network: .*found resnet"):
        code.run(networks={"deep": "resnet"}, paths=paths)


@pytest.mark.parametrize("content", [None, "numpy\n"])
def test_pins_that_are_missing_or_none_are_refused(
    paths: Paths, content: str | None
) -> None:
    paths.pins.unlink()
    if content:
        paths.pins.write_text(content)

    with pytest.raises(DataError, match=r"requirements-numerics.lock: expected"):
        code.run(networks=MODELS, paths=paths)


def test_a_study_has_no_pins_and_says_what_is_installed(paths: Paths) -> None:
    """The versions are those that each module of a package names itself."""
    paths.pins.unlink()
    study = Study(format_version=1, name="liver", segpipe="0.1.0", files={})
    study.write(paths.root / "study.json")
    code.run(networks=MODELS, paths=paths)

    found = read(paths, "split")["packages"]
    pinned = (ROOT / "requirements-numerics.lock").read_text().split()
    assert list(found) == [pin.split("==")[0] for pin in pinned]
    assert found["numpy"] == np.__version__
    assert found["torch"] == torch.__version__.split("+")[0]


def test_what_was_written_is_read_back(paths: Paths) -> None:
    assert code.read_digests(paths) == {}
    code.run(networks=MODELS, paths=paths)

    assert code.read_digests(paths) == code.digest_stages(networks=MODELS, paths=paths)
