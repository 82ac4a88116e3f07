"""A preset is complete, and writing one loses no edits."""

import subprocess
from pathlib import Path

import pytest
import torch

from segpipe.networks.build import NetworkSpec, build_network
from segpipe.project.errors import DataError
from segpipe.project.params import parse_section, read_params
from segpipe.tools.preset import list_presets, write_preset
from segpipe.training.task.section import TrainParams
from tests.support.places import ROOT

PRESETS = ROOT / "presets"


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_preset_has_every_section_and_its_models_can_be_trained(preset: Path) -> None:
    document = read_params(preset)

    assert set(document) == set(read_params(ROOT / "params.yaml"))
    for model in document["models"]:
        parse_section(TrainParams, document["train"][model], where=str(preset))


PAPERS = {  # the paper's own figures: arXiv:1505.04597, 1606.06650, 1606.04797
    "unet2d-isbi2012": (2, 1, [388, 388, 1], 64, 10.0),
    "unet3d-xenopus": (3, 1, [44, 44, 28], 32, 4.0),
    "vnet-promise12": (3, 2, [128, 128, 64], 16, 15.0),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_settings_are_those_of_the_papers(name: str) -> None:
    dimensions, batch, output, base, deviation = PAPERS[name]
    document = read_params(PRESETS / f"{name}.yaml")
    (section,) = document["train"].values()
    params = parse_section(TrainParams, section, where=name)
    assert not isinstance(params.patch_size, str)
    with torch.device("meta"):
        network = build_network(
            NetworkSpec(
                name=params.network,
                in_channels=1,
                out_channels=2,
                base_channels=params.base_channels,
                padding=params.padding,
            )
        )
    sizes = [1 if n == 1 else network.output_size(n) for n in params.patch_size]

    assert (params.dimensions, params.batch_size) == (dimensions, batch)
    assert sizes == output
    assert params.base_channels == base
    assert params.optimizer.momentum == 0.99
    assert params.augmentation.elastic_deviation == deviation


def test_the_projects_own_params_are_those_of_the_example() -> None:
    assert (ROOT / "params.yaml").read_text() == (PRESETS / "phantom.yaml").read_text()


def test_a_preset_says_what_it_is_for() -> None:
    presets = list_presets(PRESETS)

    assert all(text.startswith(f"{name}: ") for name, text in presets.items())


def test_an_unknown_preset_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found liver:\n(.*\n)*  phantom: "):
        write_preset(
            "liver", params=tmp_path / "params.yaml", presets=PRESETS, force=False
        )


def test_what_was_written_is_said_and_what_to_do_next(tmp_path: Path) -> None:
    given = {"params": tmp_path / "params.yaml", "presets": PRESETS, "force": False}

    first, then = write_preset("phantom", **given)
    again, _ = write_preset("phantom", **given)

    assert first.startswith(f"{tmp_path / 'params.yaml'} is now the preset phantom: ")
    assert "params.yaml was the preset phantom" in again
    assert ", ".join(read_params(tmp_path / "params.yaml")["models"]) in then
    assert "segpipe verify" in then


def test_edits_are_kept_until_one_gives_them_up(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    write_preset("phantom", params=params, presets=PRESETS, force=False)
    write_preset("nuclei", params=params, presets=PRESETS, force=False)
    params.write_text(params.read_text() + "# mine\n")

    with pytest.raises(DataError, match="--force"):
        write_preset("phantom", params=params, presets=PRESETS, force=False)
    assert params.read_text().endswith("# mine\n")

    write_preset("phantom", params=params, presets=PRESETS, force=True)
    assert params.read_text() == (PRESETS / "phantom.yaml").read_text()


def test_committed_edits_are_not_lost(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("models: []\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "edits"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)

    write_preset("phantom", params=params, presets=PRESETS, force=False)

    assert "unet3d" in params.read_text()
