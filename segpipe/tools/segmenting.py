"""segment: images of any known format to label maps, with all that explains them."""

import csv
import io
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from tqdm import tqdm

from segpipe.documents import write_text
from segpipe.errors import DataError
from segpipe.manifest import Manifest, SegmenterRecord
from segpipe.network import SegmenterSpec
from segpipe.paths import Paths
from segpipe.provenance import ensemble_digest
from segpipe.registry import SCHEME, fetch
from segpipe.segmenter import Segmenter, segmenter_digest
from segpipe.tools.attempting import attempt_case
from segpipe.tools.segmenting_case import SegmentOptions, Work
from segpipe.tools.studies import find_studies

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
    options: SegmentOptions,
    *,
    force: bool,
    paths: Paths,
) -> Summary:
    """Segment all studies among the inputs; one that fails does not stop the others.

    Args:
        model: Folder of a segmenter, or of its folds, or ``models:/NAME@ALIAS``.
        inputs: Files and folders.
        output: Folder for the results.
        options: What the user chose.
        force: Whether finished cases are segmented again.
        paths: Of the project, if there is one, for the registry's address.

    Raises:
        DataError: If there is no such segmenter, or nothing to segment.
    """
    segmenter, record = load_segmenter(model, paths)
    channels = len(segmenter.spec.plan.channels)
    studies = find_studies(inputs, channels=channels, output=output)
    log.info(
        "segment %d studies with %s, %d folds, on %s",
        len(studies),
        record.name,
        len(record.folds),
        options.inference.compute,
    )
    work = Work(segmenter, record, options, output)
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


def load_segmenter(model: str, paths: Paths) -> tuple[Segmenter, SegmenterRecord]:
    """The segmenter of a folder or of the registry, and which it is.

    Raises:
        DataError: If there is none, or another than was registered.
    """
    folders, record = locate_segmenter(model, paths)
    return Segmenter.ensemble(folders), record


def locate_segmenter(model: str, paths: Paths) -> tuple[list[Path], SegmenterRecord]:
    """Where the folds of a segmenter lie, fetched if need be, and which it is.

    Raises:
        DataError: If there is none, or another than was registered.
    """
    name, version, run, expected = None, None, None, None
    folder = Path(model)
    if model.startswith(SCHEME):
        registered = fetch(model, paths)
        folder = registered.folder
        name, version, run = registered.name, registered.version, registered.run
        expected = registered.digest
    folders = find_folds(folder)
    digests = tuple(segmenter_digest(one) for one in folders)
    record = SegmenterRecord(
        name=name or SegmenterSpec.read(folders[0] / "spec.json").model,
        version=version,
        digest=ensemble_digest(digests),
        folds=digests,
        run=run,
    )
    if expected is not None and record.digest != expected:
        raise DataError(
            f"{folder}: expected the segmenter {expected[:12]} that was registered as "
            f"{model}, found {record.digest[:12]}; delete the folder, which is a copy, "
            "and ask again; if it stays so, the registry's files were changed"
        )
    return folders, record


def find_folds(folder: Path) -> list[Path]:
    """The segmenter folders that a folder is or holds, by the number of the fold.

    Raises:
        DataError: If there is none.
    """
    if (folder / "spec.json").is_file():
        return [folder]
    found = sorted(
        (spec.parent for spec in folder.glob("**/spec.json")),
        key=lambda path: [
            (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in path.relative_to(folder).parts
        ],
    )
    if not found:
        raise DataError(
            f"{folder}: expected a segmenter (spec.json and weights), or a folder of "
            "folds such as artifacts/train/MODEL, found none; train one with `dvc "
            f"repro`, or name a registered one, {SCHEME}NAME@ALIAS"
        )
    return found


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
