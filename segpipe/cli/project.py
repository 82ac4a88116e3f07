"""The project that commands run in: the working directory, its paths and params."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segpipe.project import params
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths

if TYPE_CHECKING:
    from segpipe.segmenter.compute import Compute
    from segpipe.training.task.section import TrainParams

HERE = Paths(Path())


def read_section(name: str, model: Any) -> Any:
    """Read a section of params.yaml as its Params class.

    Raises:
        DataError: If the section is missing or wrong.
    """
    return params.read_section(HERE.params, name, model)


def read_list(name: str, kind: type) -> list[Any]:
    """Read the list models or folds.

    Raises:
        DataError: If it is empty, or not a list of different values of the kind.
    """
    values = params.read_params(HERE.params).get(name)
    right = isinstance(values, list) and all(type(value) is kind for value in values)
    if not right or not values or len(set(values)) < len(values):
        raise DataError(
            f"{HERE.params}, {name}: expected a list of different {kind.__name__}s, "
            f"found {values}; write for example {name}: "
            f"{'[0, 1]' if kind is int else '[unet2d, vnet]'}"
        )
    return list(values)


def read_networks() -> dict[str, str]:
    """Read the network of each listed model; its other params are not checked.

    Raises:
        DataError: If a model has no section in train, or the section has no network.
    """
    sections = params.read_params(HERE.params).get("train")
    found = {}
    for model in read_list("models", str):
        section = sections.get(model) if isinstance(sections, dict) else None
        network = section.get("network") if isinstance(section, dict) else None
        if not isinstance(network, str):
            raise DataError(
                f"{HERE.params}, train: expected a section {model} with a network, "
                f"found {network}; copy another model's section"
            )
        found[model] = network
    return found


def read_train_params(model: str) -> "TrainParams":
    """Read the section of train that describes how a model is trained.

    Raises:
        DataError: If there is no such section, or it is wrong.
    """
    from segpipe.training.task.section import TrainParams

    sections = params.read_params(HERE.params).get("train") or {}
    if model not in sections:
        raise DataError(
            f"{HERE.params}, train: expected a section {model}, found "
            f"{', '.join(sections) or 'none'}; copy one and choose its network"
        )
    where = f"{HERE.params}, section train.{model}"
    return params.parse_section(TrainParams, sections[model], where=where)


def read_compute() -> "Compute":
    """Set device, precision and threads of this process from the section compute.

    Raises:
        DataError: If the section is wrong, or the machine has no such device.
    """
    from segpipe.segmenter.compute import ComputeParams, build_compute

    return build_compute(read_section("compute", ComputeParams))
