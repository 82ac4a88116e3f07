"""Each network of the catalogue has a model, by a preset where there is one."""

from typing import Any, get_args

import pytest

from experiments.everything.sets import LENGTH, PATCH, SETS, Set
from experiments.everything.systems import name_model
from segpipe.networks.catalogue import NetworkName
from segpipe.planning.params import PlanParams
from segpipe.project.params import parse_section, read_params
from segpipe.stages.evaluate import EvaluateParams
from segpipe.training.task.section import TrainParams
from tests.support.places import ROOT

Params = dict[str, dict[str, Any]]  # name of a set's folder to its params.yaml


@pytest.fixture(scope="module")
def params() -> Params:
    return {one.folder: one.build_params() for one in SETS}


def test_every_network_is_a_model_of_one_set(params: Params) -> None:
    models = [one["train"][name] for one in params.values() for name in one["models"]]

    assert len(models) == len({one["network"] for one in models})
    assert {one["network"] for one in models} == set(get_args(NetworkName))
    assert name_model("monai/SegResNet") == "monai-segresnet"


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.folder)
def test_its_params_are_complete_and_short(one: Set, params: Params) -> None:
    own = params[one.folder]

    assert own["models"] == list(own["train"])
    for name, section in own["train"].items():
        parsed = parse_section(TrainParams, section, where=name)
        assert parsed.dimensions == one.recipes.dimensions
        assert (parsed.epochs, parsed.steps_per_epoch) == (2, 5)
        assert parsed.batch_size == LENGTH["batch_size"]
    assert parse_section(PlanParams, own["plan"], where="plan").workers == 1
    assert parse_section(EvaluateParams, own["evaluate"], where="evaluate")


def test_a_model_has_the_section_of_the_first_preset_that_has_its_network(
    params: Params,
) -> None:
    images, volumes = (one["train"] for one in params.values())
    nuclei = read_params(ROOT / "presets" / "nuclei.yaml")["train"]["unet2d"]

    assert images["unet2d"] == {**nuclei, **LENGTH, **PATCH}
    assert images["fcn32s"] == {**images["dilated"], "network": "fcn32s"}
    assert images["maskrcnn"]["loss"]["name"] == "own"
    assert volumes["monai-unetr"]["arguments"]["hidden_size"] == 192
    only = SETS[0].build_params(["segnet"])
    assert only["models"] == list(only["train"]) == ["segnet"]
