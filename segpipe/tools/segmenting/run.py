"""segment: label maps of images in any known format, each with its manifest."""

import logging
from dataclasses import dataclass
from pathlib import Path

from segpipe.project.documents import write_text
from segpipe.project.paths import Paths
from segpipe.project.progress import Work, describe_left, work
from segpipe.project.tables import column_lines, table_text
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import Outcome, attempt_case
from segpipe.tools.segmenting.manifest import (
    Manifest,
    manifest_path,
    read_manifest,
)
from segpipe.tools.segmenting.studies import find_studies
from segpipe.tools.segmenting.work import build_work

log = logging.getLogger(__name__)
ABSENT, NOTES = "-", "warnings, or why it failed"
SHOWN = 6  # structures in a line or a row; volumes.csv has all
KINDS = {"finished": "finished before", "elsewhere": "another run is at it"}


@dataclass(frozen=True)
class Summary:
    """Cases of a run, by outcome.

    Attributes:
        done: Cases that were segmented now.
        skipped: Cases that were finished before, or that another run was segmenting.
        failed: Case to the reason of its failure.
        rows: A row for each case, for the closing table.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: dict[str, str]
    rows: tuple[dict[str, str], ...] = ()

    def lines(self) -> list[str]:
        """Counts, then a row for each case, with warnings and reasons of failures."""
        counts = f"{len(self.done)} segmented"
        if self.skipped:
            counts += f", {len(self.skipped)} finished before (--force does them again)"
        if self.failed:
            counts += f", {len(self.failed)} failed"
        return [f"{counts}:", "", *column_lines(self.rows)] if self.rows else [counts]


def segment(
    model: str,
    inputs: list[Path],
    output: Path,
    settings: SegmentSettings,
    *,
    force: bool,
    paths: Paths,
) -> Summary:
    """Segment all studies among the inputs; one that fails does not stop the others.

    Args:
        model: Folder of a segmenter, or of its folds, or ``models:/NAME@ALIAS``.
        inputs: Files and folders.
        output: Folder for the results.
        settings: What the user chose.
        force: Whether finished cases are segmented again.
        paths: Paths of the project, whose registry is asked.

    Raises:
        DataError: If there is no such segmenter or device, or nothing to segment.
    """
    segmenter, record = load_segmenter(model, paths)
    shared = build_work(segmenter, record, settings, output)
    plan = segmenter.spec.plan
    studies = find_studies(
        inputs,
        channels=len(plan.channels),
        output=output,
        may_lack=plan.missing_channels is not None,
    )
    log.info(
        "segment %d studies with %s, %d folds, on %s",
        len(studies),
        record.name,
        len(record.folds),
        shared.inference.compute,
    )
    outcomes: list[Outcome] = []
    with work("segment", total=len(studies), unit="case") as told:
        for study in studies:
            outcomes.append(attempt_case(study, shared, force=force))
            tell_outcome(log, told, outcomes[-1], output)
    failed = {one.case: one.reason for one in outcomes if one.failed}
    structures = list(segmenter.spec.plan.structures[1:])
    rows = [build_row(one, output, structures) for one in outcomes]
    try:
        write_volumes(output)
    except OSError as error:  # the failures of the cases must still be said
        why = f"{error}; free the disk, then run it again"
        failed["volumes.csv"] = why
        rows.append(
            {**dict.fromkeys(rows[0], ABSENT), "case": "volumes.csv", NOTES: why}
        )
    return Summary(
        tuple(one.case for one in outcomes if one.kind == "done"),
        tuple(one.case for one in outcomes if one.kind in ("finished", "elsewhere")),
        failed,
        tuple(rows),
    )


Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def tell_outcome(log: Log, told: Work, outcome: Outcome, output: Path) -> None:
    """Count a case and log a line on it: what was found, its number, the time left."""
    told.advance()
    words = describe_outcome(outcome, output)
    left = describe_left(told.left_s) if told.done != told.total else ""
    level = logging.WARNING if outcome.failed else logging.INFO
    log.log(level, "%d of %d  %s%s", told.done, told.total, words, left)


def describe_outcome(outcome: Outcome, output: Path) -> str:
    """One line on a case: what was found and how long it took, or why it failed.

    Args:
        outcome: Outcome of the attempt at the case.
        output: Folder with its manifest, if it has one.
    """
    if outcome.failed:
        return f"{outcome.case} failed: {outcome.reason}"
    if outcome.kind == "elsewhere":
        return f"{outcome.case}: {KINDS[outcome.kind]}"
    manifest = read_manifest(manifest_path(output, outcome.case))
    found = _found(manifest) if manifest else {}  # it was moved already
    words = [f"{name} {size}" for name, size in found.items() if size]
    if len(words) > SHOWN:
        words = [*words[:SHOWN], f"and {len(words) - SHOWN} structures more"]
    count = len(manifest.warnings) if manifest else 0
    also = f"{count} warning{'s' * (count > 1)}" if count else ""
    seconds = KINDS.get(outcome.kind, f"{outcome.seconds:.1f} s")
    ends = ", ".join(filter(None, (seconds, also)))
    return f"{outcome.case}: {', '.join(words) or 'nothing found'} ({ends})"


def warnings_of(outcome: Outcome, output: Path) -> tuple[str, ...]:
    """The warnings in the manifest of a case that was segmented now."""
    done = outcome.kind == "done"
    manifest = read_manifest(manifest_path(output, outcome.case)) if done else None
    return manifest.warnings if manifest else ()


def build_row(outcome: Outcome, output: Path, structures: list[str]) -> dict[str, str]:
    """The row of a case in the closing table.

    Args:
        outcome: Outcome of the attempt at the case.
        output: Folder with its manifest, if it has one.
        structures: Structures of the segmenter; many of them are only counted.
    """
    manifest = None
    if not outcome.failed:
        manifest = read_manifest(manifest_path(output, outcome.case))
    notes = [outcome.reason] if outcome.failed else []
    notes += [KINDS[outcome.kind]] if outcome.kind in KINDS else []
    notes += manifest.warnings if manifest else []
    found = _found(manifest) if manifest else {}
    if len(structures) > SHOWN:
        count = sum(1 for size in found.values() if size)
        cells = {"structures": f"{count} of {len(structures)}" if found else ABSENT}
    else:
        none = "0" if found else ABSENT
        cells = {name: found.get(name) or none for name in structures}
    return {
        "case": outcome.case,
        **cells,
        "seconds": f"{outcome.seconds:.1f}" if outcome.kind == "done" else ABSENT,
        NOTES: "; ".join(notes) or ABSENT,
    }


def _found(manifest: Manifest) -> dict[str, str]:
    """Structure to its size, ``3.2 ml`` or ``410 px``, empty if it was not found.

    Instances are counted where they were written: ``410 px in 12 instances``.
    """
    found = {}
    for name, voxels in manifest.voxels.items():
        volume = manifest.volumes_ml.get(name)
        size = f"{voxels} px"
        if volume is not None:
            size = f"{volume:.3g} ml" if volume < 100 else f"{volume:.0f} ml"
        count = manifest.instances.get(name, 0)
        many = f" in {count} instance{'s' * (count > 1)}" if count else ""
        found[name] = f"{size}{many}" if voxels else ""
    return found


def write_volumes(output: Path) -> None:
    """Write volumes.csv from all manifests in a folder: a row a case and structure."""
    rows = []
    for path in sorted(output.rglob("*.json")):
        if path.name.startswith("."):
            continue
        manifest = read_manifest(path)
        if manifest is None:
            continue
        for structure, voxels in manifest.voxels.items():
            volume = manifest.volumes_ml.get(structure)
            rows.append(
                {
                    "case": manifest.case,
                    "structure": structure,
                    "voxels": voxels,
                    "volume_ml": "" if volume is None else f"{volume:.6g}",
                    "segmenter": manifest.segmenter.digest[:12],
                }
            )
    if rows:
        write_text(output / "volumes.csv", table_text(list(rows[0]), rows))
