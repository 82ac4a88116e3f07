"""Values that the label maps of an import hold, and what is chosen for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.dataset.description import Values
from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.sources import RawCase, RawCases
from segpipe.tools.importing.reading.labels import LabelRules, read_label_map

# Label maps with more values hold instances or a measurement, not structures.
MOST_STRUCTURES = 200


@dataclass(frozen=True)
class LabelChoice:
    """The structures of an import.

    Attributes:
        labels: Value in data/ of each structure and of the background, or the values
            that a structure unites.
        ignore: The value that means *not annotated*.
        rules: How label files become label maps.
        values: The values that label maps of data/ will have, each with a file.
        order: The value as which each structure is written, if some unite values.
    """

    labels: Mapping[str, Values]
    ignore: int | None
    rules: LabelRules
    values: dict[int, Path]
    order: tuple[int, ...] | None = None


def survey_values(
    raw: RawCases, options: ImportOptions, rules: LabelRules
) -> dict[int, Path]:
    """Each value, of instance ids only the extremes, with a file that holds it."""
    seen: dict[int, Path] = {}
    total = len(raw.cases)
    for case in track(raw.cases, "look at labels", total=total, unit="file"):
        for path in _label_maps(case):
            array = read_label_map(path, rules=rules).array
            ends = [array.min(), array.max()]
            for value in ends if options.instances else np.unique(array):
                seen.setdefault(int(value), path)
            if options.instances and array[array != options.ignore].min(initial=0) < 0:
                raise DataError(
                    f"{path}: expected instance ids from 1 and 0 for none, found "
                    f"{int(array.min())}; if that means not annotated, use --ignore"
                )
            if not options.instances and len(seen) > MOST_STRUCTURES:
                raise DataError(
                    f"{path}: expected structures, found more than {MOST_STRUCTURES} "
                    "values so far; if they are instance ids, use --instances"
                )
    return seen


def _label_maps(case: RawCase) -> list[Path]:
    return [case.label, *(drawn.files[0] for drawn in case.observers.values())]
