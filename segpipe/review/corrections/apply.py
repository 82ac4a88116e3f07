"""apply: put signed corrections into data/, as new references or labels."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from segpipe.dataset.case_files import read_case_instances
from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.review.corrections.instances import carry_instances
from segpipe.review.corrections.store import Filed, list_filed
from segpipe.review.corrections.target import Target, find_target
from segpipe.tools.importing.writing.ledger import LedgerLine, read_ledger
from segpipe.tools.importing.writing.relabelling import NewLabel, replace_labels

READ_AS = "correction for the "  # begins these lines of the ledger


def apply(numbers: Sequence[int], paths: Paths) -> list[str]:
    """Put the masks of signed corrections into data/, all of them or none.

    Whoever gives the numbers accepts them. A mask takes the place of the label map of
    its case, byte by byte what was signed; data/import.json gets a line with the record
    and the digest of the label map before, which DVC keeps.

    Args:
        numbers: Numbers of records.
        paths: The project's folders.

    Returns:
        A sentence for each.

    Raises:
        DataError: If one is no correction, its mask is not on this machine or not the
            one that was signed, the label map of the case was replaced since, or the
            case is now tested and was not, or the other way. Then nothing changed.
    """
    filed = {one.record.number: one for one in list_filed(paths)}
    chosen = [_find(number, filed) for number in dict.fromkeys(numbers)]
    cases = Counter(one.kept.case for one in chosen if one.kept is not None)
    if twice := [case for case, count in cases.items() if count > 1]:
        raise DataError(
            f"{twice[0]}: expected one correction a case, found several; choose one"
        )
    labels = [_build(one, paths) for one in chosen]
    replace_labels(paths.data, labels)
    return [f"{one.line.case}: {one.line.read_as}" for one in labels]


def describe_filed(paths: Paths) -> list[str]:
    """A line for each correction: what it is, and whether data/ has it.

    Raises:
        DataError: If the chain is not whole.
    """
    done = {line.file for line in read_ledger(paths.data)}
    return [_describe(one, done) for one in list_filed(paths)]


def _describe(one: Filed, done: set[str]) -> str:
    content = one.content
    path, unit = content.added_path_mm, "mm"
    if path is None:
        path, unit = content.added_path_px or 0.0, "px"
    case = one.kept.case if one.kept else f"{content.case} (its mask is elsewhere)"
    state = "in data/" if _record_file(one) in done else "waits"
    return (
        f"record {one.record.number}: {case}, {content.purpose}, by "
        f"{one.record.printed_name}, {path:g} {unit} drawn anew, {state}"
    )


def _find(number: int, filed: dict[int, Filed]) -> Filed:
    """The correction of a record, with its mask."""
    one = filed.get(number)
    if one is None:
        known = ", ".join(map(str, filed)) or "none"
        raise DataError(
            f"record {number}: expected one of the corrections, {known}, found another "
            "record or none; `segpipe review corrections list` lists them"
        )
    if one.kept is None or not one.mask.is_file():
        raise DataError(
            f"{one.folder}: expected the mask of record {number}, found none; copy the "
            "folder from the machine on which it was signed"
        )
    found = digest_file(one.mask)
    if found != one.content.after:
        raise DataError(
            f"{one.mask}: expected the mask that record {number} signs, "
            f"{one.content.after[:12]}, found {found[:12]}; put a backup back, or "
            "correct the case again"
        )
    return one


def _build(one: Filed, paths: Paths) -> NewLabel:
    """The new label map of a case, with its instances and the line of the ledger."""
    kept, number = one.kept, one.record.number
    assert kept is not None
    target = find_target(kept.case, paths)
    if target.digest != kept.replaces:
        raise DataError(
            f"{paths.data / target.case.label}: expected the label map that record "
            f"{number} corrects, {kept.replaces[:12]}, found {target.digest[:12]}: it "
            "was replaced since; correct the newer one"
        )
    if target.purpose != one.content.purpose:
        raise DataError(
            f"{kept.case}: expected a case whose corrections are for the "
            f"{one.content.purpose}, as record {number} says, found one for the "
            f"{target.purpose}: its patient changed sides; correct it again"
        )
    subject, before = one.content.subject, read_ledger(paths.data)
    file = target.case.label
    earlier = [x for x in before if x.case == kept.case]
    version = 2 + sum(x.read_as.startswith(READ_AS) for x in earlier)
    instances = _instances(one, target, paths)
    line = LedgerLine(
        file=_record_file(one),
        case=kept.case,
        read_as=f"{READ_AS}{target.purpose}, version {version}, by "
        f"{one.record.printed_name}",
        wrote=(file, *([instances[0]] if instances else [])),
        dropped=(f"the label map with the SHA-256 {target.digest}",),
        assumed=(
            ()
            if target.purpose == "reference"
            else (
                f"derived_from {subject.segmenter} ({subject.name} {subject.version})",
            )
        ),
    )
    return NewLabel(file, one.mask, instances, line)


def _instances(
    one: Filed, target: Target, paths: Paths
) -> tuple[str, np.ndarray] | None:
    """Place and ids of the instances of a case; none if the data have none."""
    file = target.case.instances
    ids = read_case_instances(paths.data, target.cases, target.case)
    if file is None or ids is None:
        return None
    after = read_label(one.mask, spacing_mm=target.cases.spacing_mm).array
    return file, carry_instances(ids.array, target.label, after)


def _record_file(one: Filed) -> str:
    return f"reviews/records/{one.record.number:06d}.json"
