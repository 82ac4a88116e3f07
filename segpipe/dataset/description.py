"""The description of a data set: dataset.json, read and checked."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segpipe.images.values import Legend, Unions
from segpipe.project.documents import Unit, parse_json, validation_faults
from segpipe.project.errors import DataError

NIFTI = (".nii", ".nii.gz")
RESERVED = ("background", "ignore")  # names with a meaning in labels
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Values = int | tuple[int, ...]  # of a structure


class Description(BaseModel):
    """The content of dataset.json; other keys of nnU-Net are ignored.

    Attributes:
        name: Name of the data set; may be missing.
        channel_names: Name of each channel by its number, from "0".
        labels: Value of each structure, or the values that it unites; background is 0,
            ``ignore`` is not annotated.
        numTraining: Number of cases.
        file_ending: Ending of the images and labels, such as ``.nii.gz``.
        spacing_mm: Distance of columns and of rows, for 2-D images that store none.
        unit: ``px`` for NIfTI files without a physical spacing.
        regions_class_order: The value as which each structure is written, if some
            unite values; a later structure is written over the earlier ones.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    name: str = ""
    channel_names: dict[str, str]
    labels: dict[str, Values]
    numTraining: int  # noqa: N815
    file_ending: str
    spacing_mm: tuple[Length, Length] | None = None
    unit: Unit | None = None
    regions_class_order: tuple[int, ...] | None = None

    @property
    def ignore(self) -> int | None:
        """The value that means *not annotated*, if there is one."""
        value = self.labels.get("ignore")
        return value if isinstance(value, int) else None

    @property
    def structures(self) -> dict[str, Values]:
        """The structures, with the background and without ``ignore``."""
        return {name: own for name, own in self.labels.items() if name != "ignore"}

    @property
    def single(self) -> dict[str, int]:
        """The labels of one value, with ``ignore``; all of them unless some unite."""
        return {name: n for name, n in self.labels.items() if isinstance(n, int)}

    @property
    def true_unit(self) -> Unit:
        """Unit of all spacings: mm for NIfTI by default, for others with spacing_mm."""
        if self.file_ending.lower() in NIFTI:
            return self.unit or "mm"
        return "px" if self.spacing_mm is None else "mm"


def legend_of(
    structures: Mapping[str, Values], order: tuple[int, ...] | None
) -> Legend:
    """What the values of label maps stand for.

    Args:
        structures: Value or values of each structure; background is 0.
        order: The value as which each structure is written, if some unite values.
    """
    united = {
        name: own if isinstance(own, tuple) else (own,)
        for name, own in structures.items()
    }
    values = tuple(sorted({0, *(value for own in united.values() for value in own)}))
    values = (0, *(value for value in values if value != 0))
    if order is None:
        names = {own: name for name, own in united.items()}
        return Legend(tuple(names[value,] for value in values), values, None)
    background = next(name for name, own in united.items() if own == (0,))
    regions = {name: own for name, own in united.items() if name != background}
    return Legend(
        (background, *regions),
        values,
        Unions(values=tuple(regions.values()), order=order),
    )


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
    named = labels.values() if isinstance(labels, dict) else ()
    if named and all(isinstance(name, str) for name in named):
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
    faults += label_faults(description.labels, description.regions_class_order)
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


def label_faults(
    labels: Mapping[str, Values], order: tuple[int, ...] | None
) -> list[str]:
    """What is wrong with the structures of a data set, one text a fault.

    Args:
        labels: Value or values of each structure, of background and of ``ignore``.
        order: The value as which each structure is written, if some unite values.
    """
    faults = []
    if labels.get("background") != 0:
        faults.append(
            f"labels.background: expected 0, found {_shown(labels.get('background'))}; "
            "structures may have any other whole numbers"
        )
    if not set(labels) - {*RESERVED}:
        faults.append("labels: expected at least one structure, found none")
    sets = {
        name: frozenset(own if isinstance(own, tuple) else (own,))
        for name, own in labels.items()
    }
    for values, count in Counter(sets.values()).items():
        if count > 1:
            names = [name for name in labels if sets[name] == values]
            faults.append(
                f"labels: expected one name a value, found {_shown(labels[names[0]])} "
                f"as {', '.join(names)}"
            )
    united = any(len(own) != 1 for own in sets.values())
    for name, own in labels.items():
        if isinstance(own, tuple) and len(own) > len(sets[name]):
            once = tuple(dict.fromkeys(own))
            faults.append(
                f"labels.{name}: expected each value once, found {_shown(own)}; write "
                f"{_shown(once if len(once) > 1 else once[0])}"
            )
        elif isinstance(own, tuple) and len(own) == 1 and not united:
            faults.append(
                f"labels.{name}: expected a number where no structure unites values, "
                f"found {_shown(own)}; write {own[0]}"
            )
    if united and not faults:
        return _region_faults(labels, sets, order)
    if order is not None and not united:
        faults.append(
            "regions_class_order: expected none where no structure unites values, "
            f"found {list(order)}; delete the key, or list the values of structures"
        )
    return faults


def _region_faults(
    labels: Mapping[str, Values],
    sets: Mapping[str, frozenset[int]],
    order: tuple[int, ...] | None,
) -> list[str]:
    """What is wrong with structures that unite values."""
    faults = []
    regions = {name: own for name, own in sets.items() if name not in RESERVED}
    if isinstance(labels.get("ignore"), tuple):
        faults.append(
            "labels.ignore: expected one whole number, found "
            f"{_shown(labels['ignore'])}; give all voxels that are not annotated one "
            "value"
        )
    apart = sets.get("ignore", frozenset()) | {0}
    for name, own in regions.items():
        if not own:
            faults.append(
                f"labels.{name}: expected at least one value, found []; write the "
                "values that it unites, or delete it"
            )
        if own & apart:
            faults.append(
                f"labels.{name}: expected values of structures alone, found "
                f"{min(own & apart)}, which is background or ignore; take it out"
            )
    if order is None or len(order) != len(regions):
        faults.append(
            f"regions_class_order: expected {len(regions)} values, one for each of "
            f"{', '.join(regions)} in this order, found "
            f"{'none' if order is None else list(order)}; write the value as which "
            "each of them is written, the later ones over the earlier ones"
        )
    if faults or order is None:
        return faults
    known = frozenset[int]().union(*regions.values())
    if strange := [value for value in order if value not in known]:
        return [
            f"regions_class_order: expected values of the structures, found {strange}, "
            "which none of them holds; write a value of each structure"
        ]
    return _lost_faults(regions, order)


def _lost_faults(
    regions: Mapping[str, frozenset[int]], order: tuple[int, ...]
) -> list[str]:
    """Values that another one would be written for, which lies in other structures."""

    def holders(value: int) -> list[str]:
        return [name for name, own in regions.items() if value in own]

    faults = []
    pairs = list(zip(regions.values(), order, strict=True))
    for value in sorted(frozenset[int]().union(*regions.values())):
        written = [new for own, new in pairs if value in own][-1]
        if holders(written) != holders(value):
            faults.append(
                f"regions_class_order: expected that a voxel of {value} "
                f"({', '.join(holders(value))}) stays in its structures, found that "
                f"it is written as {written} ({', '.join(holders(written))}); list "
                "large structures before those inside them, and give values that "
                "several share a structure of their own"
            )
    return faults


def _shown(value: Values | None) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
