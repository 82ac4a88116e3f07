"""Systems: every network of the catalogue as a model of params.yaml, by a preset."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from experiments.trials import HOME, merged
from segpipe.networks.build import dimensions_of
from segpipe.networks.catalogue import NetworkName
from segpipe.project.params import read_params

NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)
Models = dict[str, dict[str, Any]]  # name to its section of train


@dataclass(frozen=True)
class Recipes:
    """Where the models of a set come from.

    Attributes:
        dimensions: 2 or 3, that of the networks.
        presets: Presets that are looked through for a network, the first one first.
        spare: Preset and model whose section a network has that is in none of them.
        changes: Network to the changes of its section, so that it takes minutes.
    """

    dimensions: int
    presets: tuple[str, ...]
    spare: tuple[str, str]
    changes: dict[str, dict[str, Any]]


def name_model(network: str) -> str:
    """Name of a network's model, as params.yaml takes it: ``monai-unet``."""
    return re.sub(r"[^a-z0-9]+", "-", network.lower())


def build_models(recipes: Recipes, length: dict[str, Any]) -> Models:
    """A model for each network of the catalogue that has these dimensions.

    Args:
        recipes: Where the models come from.
        length: Epochs, steps and batch of all of them.
    """
    found = {}
    for network in NETWORKS:
        if dimensions_of(network, {}) != recipes.dimensions:
            continue
        section = {**_find_section(network, recipes), "network": network}
        section.pop("budget", None)
        changes = merged(length, recipes.changes.get(network, {}))
        found[name_model(network)] = merged(section, changes)
    return found


def _find_section(network: str, recipes: Recipes) -> dict[str, Any]:
    """The section of the first model that has the network, or that of the spare."""
    for preset in recipes.presets:
        for section in _read_train(preset).values():
            if section["network"] == network:
                return section
    preset, model = recipes.spare
    return _read_train(preset)[model]


@cache  # parsing is what takes long
def _read_train(preset: str) -> Models:
    return dict(read_params(HOME / "presets" / f"{preset}.yaml")["train"])
