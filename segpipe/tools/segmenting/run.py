"""segment: images of any known format to label maps, with all that explains them."""

import csv
import io
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from tqdm import tqdm

from segpipe.project.documents import write_text
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import load_segmenter
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import attempt_case
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.tools.segmenting.studies import find_studies
from segpipe.tools.segmenting.work import build_work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What came of it.

    Attributes:
        done: Cases that were segmented now.
        skipped: Cases that had been finished before, or that another run was doing.
        failed: Case to the reason.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: dict[str, str]

    def lines(self) -> list[str]:
        """For people: counts, then a table of what failed and why."""
        said = f"{len(self.done)} segmented"
        if self.skipped:
            said += f", {len(self.skipped)} finished before (--force does them again)"
        if not self.failed:
            return [said]
        width = max(map(len, self.failed))
        rows = [f"  {name:{width}}  {why}" for name, why in self.failed.items()]
        return [f"{said}, {len(self.failed)} failed:", *rows]


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
        paths: Of the project, if there is one, for the registry's address.

    Raises:
        DataError: If there is no such segmenter or device, or nothing to segment.
    """
    segmenter, record = load_segmenter(model, paths)
    work = build_work(segmenter, record, settings, output)
    channels = len(segmenter.spec.plan.channels)
    studies = find_studies(inputs, channels=channels, output=output)
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
    write_volumes(output)
    return Summary(tuple(done), tuple(skipped), failed)


def write_volumes(output: Path) -> None:
    """volumes.csv: of each case and structure, from all manifests that lie there."""
    rows = []
    for path in sorted(output.rglob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValidationError:
            continue  # someone else's
        for structure, voxels in manifest.voxels.items():
            volume = manifest.volumes_ml.get(structure)
            rows.append(
                [
                    manifest.case,
                    structure,
                    voxels,
                    "" if volume is None else f"{volume:.6g}",
                    manifest.segmenter.digest[:12],
                ]
            )
    if not rows:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "structure", "voxels", "volume_ml", "segmenter"])
    writer.writerows(rows)
    write_text(output / "volumes.csv", text.getvalue())
