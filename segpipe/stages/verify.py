"""verify: refuse data that cannot be trained on, with all faults of all cases."""

import logging
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from segpipe.dataset.case import Case, CaseList, cases_file
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.inspections import (
    Question,
    answer,
    keep_answers,
    recall,
)
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.description import legend_of
from segpipe.dataset.inspection import EMPTY, Finding, Limits
from segpipe.dataset.layout import CaseFiles, Dataset, MissingChannels, read_dataset
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)
# A name before its last letters or number, which may be the name of a patient.
STEM = r"(.+?)[-_. ]*((?<!\d)\d+|(?<![a-zA-Z])[a-zA-Z]+)?"
FEW = 4  # most scans with one stem that look like one patient's, unless it is a number
NAMED = 8  # copies of a case that a warning names


class VerifyParams(Params):
    """Section verify of params.yaml.

    Attributes:
        grid_tolerance_mm: Largest distance between the corners of an image and its
            label; never more than a tenth of a voxel.
        empty_label: Whether a label without any structure is a warning or a fault.
        spacing_limits_mm: Smallest and largest credible spacing.
        missing_channels: ``refuse`` cases that lack a channel, or take ``zeros`` for it
            after normalization, in training and in use.
        workers: Number of processes; each holds one case at a time.
    """

    grid_tolerance_mm: float
    empty_label: Literal["warn", "fault"]
    spacing_limits_mm: tuple[float, float]
    # Refused in the params of projects that were written before it.
    missing_channels: MissingChannels = "refuse"
    workers: int


def run(params: VerifyParams, *, networks: dict[str, int], paths: Paths) -> None:
    """Write the verified data set to artifacts/verify.

    A case whose files passed before is not inspected again; .cache/verify knows them by
    their content.

    Args:
        params: The section verify.
        networks: Name of each model to the dimensions of its network, 2 or 3.
        paths: The project's folders.

    Raises:
        DataError: If the data have faults; it lists every fault of every case.
    """
    shutil.rmtree(paths.artifacts / "verify", ignore_errors=True)
    dataset = read_dataset(paths.data, params.missing_channels)
    limits = Limits(
        grid_tolerance_mm=params.grid_tolerance_mm,
        spacing_mm=params.spacing_limits_mm,
        empty_is_fault=params.empty_label == "fault",
    )
    digests = DataDigests.load(paths)
    slim = replace(dataset, cases=(), faults=())
    question = Question(slim, limits, paths, digests)
    answers = map_cases(
        partial(answer, question),
        dataset.cases,
        workers=params.workers,
        name=lambda files: files.name,
        describe="verify",
        known=partial(recall, question),
        size=partial(_bytes_on_disk, paths),
    )
    keep_answers(answers, digests, paths)
    findings = [one.finding for one in answers]
    faults = [*dataset.faults, *(fault for item in findings for fault in item.faults)]
    if not dataset.cases and not faults:
        faults = [f"{paths.data}: expected cases, found none; see `segpipe import`"]
    dimensions, more = _dimensions(findings, networks, paths.data)
    _raise_all([*faults, *more], len(findings), paths.data)
    cases = _list_cases(dataset, findings, dimensions)
    if params.missing_channels == "zeros":
        cases = cases.model_copy(update={"missing_channels": "zeros"})
    cases.write(cases_file(paths.artifacts))
    _report(cases, findings)
    if not (paths.data / "patients.csv").exists():
        _warn_of_names([case.name for case in cases.cases])


def _bytes_on_disk(paths: Paths, files: CaseFiles) -> int:
    """Bytes of the images of a case, which nobody has read yet; a missing one has 0."""
    found = [paths.data / image for image in files.images]
    return sum(file.stat().st_size for file in found if file.is_file())


def _raise_all(faults: list[str], cases: int, data: Path) -> None:
    """Raise one error with all faults, if there are any."""
    if not faults:
        return
    log.error("verify: %d faults in %d cases", len(faults), cases)
    raise DataError(
        f"{data}: expected data that can be trained on, found {len(faults)} "
        f"fault{'s' * (len(faults) > 1)} in {cases} cases; mend and run again:\n"
        + "\n".join(f"  {fault}" for fault in faults)
    )


def _list_cases(
    dataset: Dataset, findings: list[Finding], dimensions: Literal[2, 3]
) -> CaseList:
    """List the inspected cases, with a warning for those with the same voxels."""
    legend = legend_of(dataset.labels, dataset.regions_class_order)
    names = defaultdict(list)
    for finding in findings:
        names[finding.digest].append(finding.files.name)
    cases = []
    for finding in findings:
        files, grid = finding.files, finding.grid
        assert grid is not None, "a case that could not be read has a fault"
        twins = _twins(names[finding.digest], files.name)
        same = (f"the same voxels as {twins}",) if twins else ()
        lacking = ", ".join(dataset.channels[n] for n in files.missing)
        absent = (f"no {lacking}: zeros after normalization",) if lacking else ()
        cases.append(
            Case(
                name=files.name,
                patient=files.patient,
                images=files.images,
                label=files.label,
                instances=files.instances,
                shape=grid.shape,
                spacing=grid.spacing,
                attributes=files.attributes,
                warnings=(*finding.warnings, *same, *absent),
                digest=finding.digest,
                structures=tuple(
                    name
                    for name in dataset.labels
                    if legend.count(finding.counts).get(name)
                ),
                missing=files.missing,
                observers=files.observers,
            )
        )
    return CaseList(
        format_version=1,
        dimensions=dimensions,
        unit=dataset.unit,
        spacing_mm=dataset.spacing_mm,
        file_ending=dataset.file_ending,
        channels=dataset.channels,
        labels=dataset.labels,
        ignore=dataset.ignore,
        cases=tuple(cases),
        regions_class_order=dataset.regions_class_order,
    )


def _twins(names: list[str], name: str) -> str:
    """Name the others of these; a few of them, as each of many names all others."""
    others = [other for other in names[: NAMED + 1] if other != name][:NAMED]
    rest = len(names) - 1 - len(others)
    return ", ".join(others) + (f" and {rest} more" if rest else "")


def _report(cases: CaseList, findings: list[Finding]) -> None:
    """Log the warnings and a summary of the data set."""
    for case in cases.cases:
        for warning in case.warnings:
            log.warning("case %s: %s", case.name, warning)
    empty = sum(EMPTY in case.warnings for case in cases.cases)
    if empty:
        log.warning("%d of %d labels are empty", empty, len(cases.cases))
    seen = {value for finding in findings for value in finding.counts}
    for name in cases.labels:
        values = cases.legend.values_of(name)
        if not seen.intersection(values):
            found = ", ".join(map(str, values))
            log.warning("%s (%s) is drawn in no case", name, found)
    log.info(
        "verified %d cases of %d patients, %d-D, in %s",
        len(cases.cases),
        len({case.patient for case in cases.cases}),
        cases.dimensions,
        cases.unit,
    )


def _warn_of_names(names: list[str]) -> None:
    """Warn if names look like several scans of one patient.

    They have the same stem: a few of them, as in 12_left and 12_right, or any number
    if all stems end in a number, as in scan1_0001. The numbers of unrelated cases have
    one stem in common, as in case_001.
    """
    groups = defaultdict(list)
    for name in names:
        match = re.fullmatch(STEM, name)
        groups[match[1] if match else name].append(name)
    several = [group for group in groups.values() if len(group) > 1]
    few = all(len(group) <= FEW for group in several)
    numbered = all(stem[-1].isdigit() for stem in groups)
    if several and len(groups) > 1 and (few or numbered):
        log.warning(
            "%s and %s differ only in their last letters or number: if they are of one "
            "patient, `segpipe import ... --replace --patient-pattern '%s'` keeps them "
            "on one side of the split, and so does a file patients.csv",
            *several[0][:2],
            STEM,
        )


def _dimensions(
    findings: list[Finding], networks: dict[str, int], data: Path
) -> tuple[Literal[2, 3], list[str]]:
    """2 or 3, and what contradicts it."""
    grids = {item.files.name: item.grid for item in findings if item.grid is not None}
    flat = [name for name, grid in grids.items() if grid.shape[2] == 1]
    solid = [name for name, grid in grids.items() if grid.shape[2] > 1]
    if not flat:
        return 3, []
    if solid:
        few = flat if len(flat) < len(solid) else solid
        return 3, [
            f"{data}: expected either images or volumes, found {len(flat)} images and "
            f"{len(solid)} volumes; move out {', '.join(few)}"
        ]
    return 2, [
        f"{data}: expected volumes for model {model}, whose network is 3-D, found 2-D "
        f"images; take {model} from the list models, or give it a 2-D network"
        for model, dimensions in networks.items()
        if dimensions == 3
    ]
