"""deliver: put a corrected segmentation of a new patient into the inbox of retrain."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from segpipe.approval.chain.signing import append
from segpipe.approval.protocol import reviews_root
from segpipe.approval.records import Record, Subject
from segpipe.dataset.case import DERIVED, CaseList, read_cases
from segpipe.dataset.inspection import add_voxels
from segpipe.images.formats.colours import is_picture
from segpipe.images.formats.files import read_image, read_label, suffix_of, write_label
from segpipe.images.volume import LabelMap
from segpipe.project.documents import write_folder, write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.project.tables import table_text
from segpipe.review.corrections.figures import measure_change
from segpipe.review.corrections.store import build_record
from segpipe.review.corrections.target import refuse_tested
from segpipe.review.corrections.uploads import MOST_BYTES, read_upload
from segpipe.review.items.volumes import canonical
from segpipe.tools.importing.writing.cases import compact
from segpipe.tools.segmenting.manifest import (
    Manifest,
    manifest_path,
    read_manifest,
)


@dataclass(frozen=True)
class Finding:
    """A segmentation of a patient and what a person made of it.

    Attributes:
        output: The label map that segment wrote, with its manifest beside it.
        mask: What it was corrected to.
        images: The image that was segmented, a file for each channel.
        patient: The patient.
        comment: The person's words.
    """

    output: Path
    mask: Path
    images: tuple[Path, ...]
    patient: str
    comment: str


def deliver(
    found: Finding, inbox: Path, signer: str, password: str, paths: Paths
) -> tuple[Record, Path]:
    """Sign a corrected segmentation, and write a delivery that ``import --add`` takes.

    Its patients.csv says who corrected it, which version made the mask, and by its
    column ``derived_from`` the digest of the segmenter: split keeps such a patient out
    of the test set for ever.

    Args:
        found: The segmentation and the correction.
        inbox: The folder of deliveries.
        signer: Name of the signer's key.
        password: Its password.
        paths: The project's folders.

    Returns:
        The record, and the delivery.

    Raises:
        DataError: If anything of the case belongs to the test set, the files are not
            those of the manifest, the mask is not one of this image, or the signature
            is refused. Then nothing is in the inbox.
    """
    case = found.output.name.removesuffix(suffix_of(found.output))
    manifest, cases = _check_manifest(found, case), read_cases(paths.artifacts)
    one_picture = len(found.images) == 1 and is_picture(found.images[0])
    if len(found.images) != len(cases.channels) and not one_picture:
        raise DataError(
            f"--image: expected {len(cases.channels)} channels "
            f"({', '.join(cases.channels)}), found {len(found.images)} files"
        )
    refuse_tested(case, found.patient, _voxels_of(found.images, cases), paths)
    if any(one.name == case for one in cases.cases):
        raise DataError(
            f"{case}: expected a new case, found one of data/ with this name; correct "
            "that in its review, or give the files another name"
        )
    if not inbox.is_dir():
        raise DataError(f"{inbox}: expected an inbox, found no folder; create it")
    before = read_label(found.output, spacing_mm=cases.spacing_mm)
    after = _read_mask(found.mask, before, cases)
    change = measure_change(before.array, after.array, before.grid, cases.legend)
    if change.is_nothing:
        raise DataError(f"{found.mask}: expected a correction, found the same mask")
    subject = _subject_of(manifest, found.output)
    folder = inbox / f"correction-{case}"
    if folder.exists():
        raise DataError(
            f"{folder}: expected no delivery of this case yet, found one; take it back "
            "before you deliver another"
        )
    with write_folder(folder) as part:
        label = _write_case(part, case, found, after, cases)
        content = build_record(
            subject,
            hashlib.sha256(case.encode()).hexdigest()[:12],
            "training",
            before=digest_file(found.output),
            after=digest_file(label),
            change=change,
            unit=cases.unit,
            comment=found.comment,
        )
        record = append(content, signer, password, reviews_root(paths.root))
        row = {
            "case": case,
            "patient": found.patient,
            DERIVED: subject.segmenter,
            "corrected_version": f"{subject.name} {subject.version}",
            "corrected_by": record.signer,
            "correction_record": str(record.number),
        }
        write_text(part / "patients.csv", table_text([*row], [row], end="\r\n"))
    return record, folder


def _check_manifest(found: Finding, case: str) -> Manifest:
    """The manifest of a label map, if it and the images are those of the manifest."""
    path = manifest_path(found.output.parent, case)
    manifest = read_manifest(path)
    if manifest is None:
        raise DataError(
            f"{path}: expected the manifest that segment writes beside its label map, "
            "found none; give the label map in the folder in which segment wrote it"
        )
    if manifest.outputs.get(found.output.name) != digest_file(found.output):
        raise DataError(
            f"{found.output}: expected the label map that the manifest names, found "
            "another; keep the correction in a file of its own"
        )
    known = {one.sha256 for one in manifest.inputs}
    for image in found.images:
        if not image.is_file() or digest_file(image) not in known:
            raise DataError(
                f"{image}: expected the image that was segmented, found another file "
                "or none; give what the manifest names"
            )
    return manifest


def _subject_of(manifest: Manifest, output: Path) -> Subject:
    one = manifest.segmenter
    if one.version is None:
        raise DataError(
            f"{output}: expected the mask of a registered version, found one of the "
            f"folder {one.name}; segment with models:/NAME/VERSION"
        )
    return Subject(
        name=one.name,
        version=one.version,
        segmenter=one.digest,
        data=None,
        code=None,
        trainers=(),
    )


def _voxels_of(images: tuple[Path, ...], cases: CaseList) -> str:
    """Digest of the voxels of a case, as verify computes it."""
    digest = hashlib.sha256()
    for image in images:
        add_voxels(digest, read_image(image, spacing_mm=cases.spacing_mm))
    return digest.hexdigest()


def _read_mask(mask: Path, before: LabelMap, cases: CaseList) -> LabelMap:
    if not mask.is_file() or mask.stat().st_size > MOST_BYTES:
        raise DataError(
            f"{mask}: expected a mask of at most {MOST_BYTES} bytes, found a larger "
            "file or none"
        )
    grid = before.grid
    array = read_upload(
        mask.read_bytes(),
        mask.name,
        grid=grid,
        shown=canonical(grid),
        legend=cases.legend,
    )
    return LabelMap(array, grid)


def _write_case(
    part: Path, case: str, found: Finding, label: LabelMap, cases: CaseList
) -> Path:
    """Write a data set of one case in the layout of nnU-Net; the label's file."""
    ending = suffix_of(found.images[0])
    (part / "imagesTr").mkdir()
    for number, image in enumerate(found.images):
        shutil.copyfile(image, part / "imagesTr" / f"{case}_{number:04d}{ending}")
    file = part / "labelsTr" / f"{case}{ending}"
    file.parent.mkdir()
    write_label(file, compact(label.array), label.grid)
    ignore = {} if cases.ignore is None else {"ignore": cases.ignore}
    document: dict[str, object] = {
        "channel_names": {str(n): name for n, name in enumerate(cases.channels)},
        "labels": {**cases.labels, **ignore},
        "numTraining": 1,
        "file_ending": ending,
    }
    if cases.regions_class_order is not None:
        document["regions_class_order"] = cases.regions_class_order
    write_json(part / "dataset.json", document)
    return file
