"""What a command reads of params.yaml, and what it says where that is wrong."""

from pathlib import Path

import pytest

from segpipe.cli.project import read_compute, read_list, read_section, read_train_params
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from tests.support.places import ROOT

LISTS = "format_version: 1\nmodels: {models}\nfolds: {folds}\ntrain: {{}}\n"


class Small(Params):
    seed: int


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params.yaml"


def test_lists_and_sections_are_those_of_the_working_directory(params: Path) -> None:
    text = LISTS.format(models="[b, a]", folds="[1, 0]")
    params.write_text(f"{text}small:\n  seed: 5\n")

    assert read_list("models", str) == ["b", "a"]
    assert read_list("folds", int) == [1, 0]
    assert read_section("small", Small) == Small(seed=5)


@pytest.mark.parametrize("models", ["[]", "[a, a]", "[a, 1]", "a", "null"])
def test_a_wrong_list_of_models_says_how_to_write_it(params: Path, models: str) -> None:
    params.write_text(LISTS.format(models=models, folds="[0]"))

    with pytest.raises(DataError, match=r"models: expected a list .* \[unet2d, vnet\]"):
        read_list("models", str)


@pytest.mark.parametrize("folds", ["[true, false]", "['0']", "[0, 0]", "[0.5]"])
def test_a_wrong_list_of_folds_says_how_to_write_it(params: Path, folds: str) -> None:
    params.write_text(LISTS.format(models="[a]", folds=folds))

    with pytest.raises(DataError, match=r"folds: expected a list .* \[0, 1\]"):
        read_list("folds", int)


def test_a_model_without_its_section_is_told_from_those_that_there_are(
    params: Path,
) -> None:
    params.write_text((ROOT / "params.yaml").read_text())

    assert read_train_params("unet3d").network == "unet3d"
    with pytest.raises(DataError, match=r"expected a section a, found .*unet3d"):
        read_train_params("a")


def test_the_device_is_that_of_the_section_compute(params: Path) -> None:
    values = "device: cpu, precision: fp32, threads: 1, workers: 0, compile: false"
    params.write_text(f"format_version: 1\ncompute: {{{values}}}\n")

    assert str(read_compute()) == "cpu, fp32, 1 threads"
