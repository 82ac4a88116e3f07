"""The parameters: params.yaml, read as DVC reads it and checked strictly."""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segpipe.project.documents import parse_yaml, validation_faults
from segpipe.project.errors import DataError

FORMAT_VERSION = 1
RESERVED = ("figure", "image", "reference")  # columns beside those of the models


class Params(BaseModel):
    """A section of params.yaml: frozen, strict, complete (nothing has a default)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def is_off(value: Any) -> bool:
    """Whether an option has the value of params that were written before it.

    Such a field stays out of records and fingerprints, which remain what they were.
    """
    return not value


Section = TypeVar("Section", bound=BaseModel)


def read_params(path: Path) -> dict[str, Any]:
    """Read all of params.yaml as plain dictionaries, lists and scalars.

    YAML 1.2, as DVC reads it: PyYAML would read ``1e-3`` as a string.

    Raises:
        DataError: If the file is missing, is not YAML, has no sections, has another
            format version, or lists a model by a name that DVC cannot use.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: expected the parameters, found no file; "
            "run from the project's root, or write the file with `segpipe preset NAME`"
        )
    document = parse_yaml(path, path.read_bytes())
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected sections, found {type(document).__name__}")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: expected format_version: {FORMAT_VERSION}, found {version}; "
            "compare with a preset, which is complete, and set it"
        )
    _check_names(path, document.get("models"))
    return document


def _check_names(path: Path, models: Any) -> None:
    """Refuse names that mean something else in dvc.yaml, a command or a path."""
    listed = models if isinstance(models, list) else []
    for name in listed:
        if isinstance(name, str) and not re.fullmatch(r"\w[\w-]*", name):
            raise DataError(
                f"{path}, models: expected a name of letters, digits, - and _, found "
                f"{json.dumps(name, ensure_ascii=False)}; rename it there and in train"
            )
        if name in RESERVED:
            raise DataError(
                f"{path}, models: expected another name than {', '.join(RESERVED)}, "
                f"which are columns of the report, found {name}; rename it there and "
                "in train"
            )


def parse_section(model: type[Section], values: Any, *, where: str) -> Section:
    """Check the values of a section against its model.

    Args:
        model: The section's fields and types.
        values: The section as read, in JSON types.
        where: The file and section, for the error.

    Raises:
        DataError: If the values do not fit the model, with one line for each fault.
    """
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        faults = validation_faults(error, whole="(section)")
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise DataError(f"{where}:\n{lines}") from error


def read_section(path: Path, name: str, model: type[Section]) -> Section:
    """Read and check one section of params.yaml.

    Raises:
        DataError: If the section is missing or anything in it is wrong.
    """
    document = read_params(path)
    if name not in document:
        raise DataError(
            f"{path}: expected a section {name}, found {', '.join(document)}; "
            "copy it from a preset: `segpipe preset NAME` writes one, in an empty "
            "folder, too"
        )
    return parse_section(model, document[name], where=f"{path}, section {name}")
