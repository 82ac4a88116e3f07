"""segment: label maps of images in any known format, each with its manifest."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from segpipe.project.documents import write_text
from segpipe.project.paths import Paths
from segpipe.project.tables import table_text
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import attempt_case
from segpipe.tools.segmenting.manifest import read_manifest
from segpipe.tools.segmenting.studies import find_studies
from segpipe.tools.segmenting.work import build_work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """Cases of a run, by outcome.

    Attributes:
        done: Cases that were segmented now.
        skipped: Cases that were finished before, or that another run was segmenting.
        failed: Case to the reason of its failure.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: dict[str, str]

    def lines(self) -> list[str]:
        """Counts, then a table of the failures with their reasons."""
        counts = f"{len(self.done)} segmented"
        if self.skipped:
            counts += f", {len(self.skipped)} finished before (--force does them again)"
        if not self.failed:
            return [counts]
        width = max(map(len, self.failed))
        rows = [f"  {name:{width}}  {why}" for name, why in self.failed.items()]
        return [f"{counts}, {len(self.failed)} failed:", *rows]


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
    work = build_work(segmenter, record, settings, output)
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
        work.inference.compute,
    )
    done, skipped, failed = [], [], dict[str, str]()
    bar = tqdm(studies, desc="segment", unit="case", disable=None)
    for study in bar:
        outcome = attempt_case(study, work, force=force)
        if outcome.failed:
            failed[study.name] = outcome.reason
            log.warning("%s failed: %s", study.name, outcome.reason)
        elif outcome.kind == "done":
            done.append(study.name)
        else:
            skipped.append(study.name)
    try:
        write_volumes(output)
    except OSError as error:  # the failures of the cases must still be said
        failed["volumes.csv"] = f"{error}; free the disk, then run it again"
    return Summary(tuple(done), tuple(skipped), failed)


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
