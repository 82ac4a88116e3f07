"""The description of a data set: dataset.json, read and checked."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segpipe.project.documents import Unit, parse_json, validation_faults
from segpipe.project.errors import DataError

NIFTI = (".nii", ".nii.gz")
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Description(BaseModel):
    """The content of dataset.json; other keys of nnU-Net are ignored.

    Attributes:
        name: Name of the data set; may be missing.
        channel_names: Name of each channel by its number, from "0".
        labels: Value of each structure; background is 0, ``ignore`` is not annotated.
        numTraining: Number of cases.
        file_ending: Ending of the images and labels, such as ``.nii.gz``.
        spacing_mm: Distance of columns and of rows, for 2-D images that store none.
        unit: ``px`` for NIfTI files without a physical spacing.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    name: str = ""
    channel_names: dict[str, str]
    labels: dict[str, int]
    numTraining: int  # noqa: N815
    file_ending: str
    spacing_mm: tuple[Length, Length] | None = None
    unit: Unit | None = None

    @property
    def true_unit(self) -> Unit:
        """Unit of all spacings: mm for NIfTI by default, for others with spacing_mm."""
        if self.file_ending.lower() in NIFTI:
            return self.unit or "mm"
        return "px" if self.spacing_mm is None else "mm"


def read_description(data: Path) -> Description:
    """Read and check dataset.json.

    Raises:
        DataError: If it is missing or cannot be used; lists all faults.
    """
    path = data / "dataset.json"
    if not path.is_file():
        raise DataError(
            f"{path}: expected the description of the data set, found no file; "
            "import data with `segpipe import`, or write the example with "
            "`segpipe phantom data`"
        )
    document = parse_json(path, path.read_bytes())
    faults = _described_faults(document)
    try:
        description = Description.model_validate_json(json.dumps(document))
    except ValidationError as error:
        known = tuple(fault.split(":")[0] for fault in faults)
        lines = validation_faults(error, whole="dataset.json")
        faults += [line for line in lines if not line.startswith(known)]
    else:
        faults += _contradictions(description)
    if faults:
        raise DataError(f"{path}:\n" + "\n".join(f"  {fault}" for fault in faults))
    return description


def _described_faults(document: Any) -> list[str]:
    """Features of nnU-Net and the MSD that are not supported, with what to do."""
    if not isinstance(document, dict):
        return []
    faults = []
    labels = document.get("labels")
    if isinstance(labels, dict):
        faults += [
            f"labels.{name}: expected one whole number, found the region "
            f"{json.dumps(value)}; regions are not supported: give each structure a "
            "value of its own"
            for name, value in labels.items()
            if isinstance(value, list)
        ]
        if labels and all(isinstance(name, str) for name in labels.values()):
            faults.append(
                'labels: expected names to values ("liver": 1), found values to names; '
                "import an MSD folder with `segpipe import`"
            )
    if "dataset" in document:
        faults.append(
            "dataset: expected files in imagesTr and labelsTr, found a list of files "
            "elsewhere; copy them to imagesTr and labelsTr and delete the key"
        )
    return faults


def _contradictions(description: Description) -> list[str]:
    faults = []
    numbers = {str(n) for n in range(len(description.channel_names))}
    if set(description.channel_names) != numbers or not numbers:
        faults.append(
            'channel_names: expected the numbers "0", "1" … without gaps, found '
            f"{', '.join(description.channel_names) or 'none'}"
        )
    labels = description.labels
    if labels.get("background") != 0:
        faults.append(
            f"labels.background: expected 0, found {labels.get('background')}; "
            "structures may have any other whole numbers"
        )
    if not set(labels) - {"background", "ignore"}:
        faults.append("labels: expected at least one structure, found none")
    for value, count in Counter(labels.values()).items():
        if count > 1:
            names = ", ".join(name for name in labels if labels[name] == value)
            faults.append(
                f"labels: expected one name a value, found {value} as {names}"
            )
    if not description.file_ending.startswith("."):
        faults.append(
            "file_ending: expected an ending with its dot, such as .nii.gz, found "
            f"{description.file_ending!r}"
        )
    nifti = description.file_ending.lower() in NIFTI
    if nifti and description.spacing_mm is not None:
        faults.append(
            "spacing_mm: expected none beside NIfTI files, which carry their own, "
            f"found {list(description.spacing_mm)}; delete the key"
        )
    if not nifti and description.unit not in (None, description.true_unit):
        faults.append(
            f"unit: expected {description.true_unit} for {description.file_ending} "
            f"files {'with' if description.spacing_mm else 'without'} spacing_mm, "
            f"found {description.unit}; delete the key"
        )
    return faults
