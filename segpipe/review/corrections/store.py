"""Store: corrections in .reviews/corrections/, and their signed records.

A mask is a patient's: it stands beside the dossiers, which git and DVC ignore, in a
folder named by its digest. The record, which git has, holds digests and figures alone.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer

from segpipe.approval.chain.signing import append
from segpipe.approval.chain.verification import verify
from segpipe.approval.protocol import reviews_root
from segpipe.approval.records import Correction, Record, Subject
from segpipe.images.formats.files import write_label
from segpipe.images.grid import Grid
from segpipe.project.documents import Document
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.review.corrections.draft import Draft
from segpipe.review.corrections.figures import Change, measure_change
from segpipe.review.corrections.target import Purpose
from segpipe.review.dossier import reviews_folder
from segpipe.review.items.volumes import from_canonical
from segpipe.tools.importing.writing.cases import compact

ABOUT, MASK = "correction.json", "mask"
DECIMALS = 3  # of figures: micrometres and microlitres


class Kept(Document):
    """What git may not know of a correction.

    Attributes:
        format_version: Version of this document.
        case: Name of the case in data/.
        ending: Ending of the mask's file, as in data/.
        replaces: SHA-256 of the label map in data/ that it is a correction of.
    """

    format_version: Literal[1]
    case: str
    ending: str
    replaces: str


@dataclass(frozen=True)
class Filed:
    """A signed correction, and its mask where this machine has it.

    Attributes:
        record: The record.
        content: What was signed.
        folder: Where the mask and what is known of it lie.
        kept: What is known of it; none if the folder is missing.
    """

    record: Record
    content: Correction
    folder: Path
    kept: Kept | None

    @property
    def mask(self) -> Path:
        """The file of the mask."""
        assert self.kept is not None
        return mask_file(self.folder, self.kept)


def corrections_folder(paths: Paths) -> Path:
    """The folder of all masks that were corrected in a project."""
    return reviews_folder(paths) / "corrections"


def sign_correction(
    draft: Draft,
    after: Integer[np.ndarray, "i j k"],
    comment: str,
    signer: str,
    password: str,
    root: Path,
) -> Record:
    """Keep a corrected mask on the grid of its source, and sign what was done.

    Args:
        draft: What the correction began with.
        after: The result, as ``draft.finish`` gives it.
        comment: The person's words.
        signer: Name of the signer's key.
        password: Its password.
        root: The project's folder.

    Raises:
        DataError: If the signature is refused; then nothing is kept.
    """
    target, paths = draft.target, Paths(root)
    before = from_canonical(draft.base, target.grid)
    change = measure_change(before, after, target.grid, target.legend)
    kept = Kept(
        format_version=1,
        case=target.case.name,
        ending=target.cases.file_ending,
        replaces=target.digest,
    )
    empty = np.zeros_like(after)
    digest = draft.before or digest_of(empty, target.grid, kept.ending, paths)
    with kept_mask(after, target.grid, draft.item.id, kept, paths) as folder:
        content = build_record(
            draft.volume.dossier.subject,
            draft.item.id,
            target.purpose,
            before=digest,
            after=digest_file(mask_file(folder, kept)),
            change=change,
            unit=target.cases.unit,
            comment=comment,
        )
        return append(content, signer, password, reviews_root(root))


def build_record(
    subject: Subject,
    case: str,
    purpose: Purpose,
    *,
    before: str,
    after: str,
    change: Change,
    unit: str,
    comment: str,
) -> Correction:
    """What is signed of a correction; lengths and volumes by the unit of the grid."""
    path = round(change.path, DECIMALS)
    mm = unit == "mm"
    volumes = change.ml if mm else change.voxels
    rounded = {name: round(size, DECIMALS) for name, size in volumes.items()}
    return Correction(
        subject=subject,
        case=case,
        purpose=purpose,
        before=before,
        after=after,
        added_path_mm=path if mm else None,
        changed_ml=rounded if mm else {},
        added_path_px=None if mm else path,
        changed_px={} if mm else rounded,
        comment=comment,
    )


@contextmanager
def kept_mask(
    mask: Integer[np.ndarray, "i j k"],
    grid: Grid,
    case: str,
    kept: Kept,
    paths: Paths,
) -> Iterator[Path]:
    """Write a mask into a folder of its own; if the block fails, it is gone again.

    Args:
        mask: The mask.
        grid: Its grid.
        case: Opaque id of the case.
        kept: What is known of it.
        paths: The project's folders.

    Yields:
        The folder, which is named by the case and the digest of the mask.
    """
    with _part(paths) as part:
        folder = part / "new"
        file = mask_file(folder, kept)
        write_label(file, compact(mask), grid)
        kept.write(folder / ABOUT)
        goal = folder_of(case, digest_file(file), paths)
        new = not goal.exists()
        if new:
            os.rename(folder, goal)
    try:
        yield goal
    except BaseException:
        if new:
            shutil.rmtree(goal)
        raise


def mask_file(folder: Path, kept: Kept) -> Path:
    """The file of a mask in its folder."""
    return folder / f"{MASK}{kept.ending}"


def folder_of(case: str, digest: str, paths: Paths) -> Path:
    """The folder of a mask, by the case's opaque id and the digest of its file."""
    return corrections_folder(paths) / f"{case}-{digest}"


@contextmanager
def _part(paths: Paths) -> Iterator[Path]:
    """A hidden folder to write into, which is removed when the block ends."""
    parent = corrections_folder(paths)
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".", suffix=".part") as part:
        yield Path(part)


def digest_of(
    mask: Integer[np.ndarray, "i j k"], grid: Grid, ending: str, paths: Paths
) -> str:
    """SHA-256 of the file that a mask has on the grid of its source."""
    with _part(paths) as part:
        file = part / f"{MASK}{ending}"
        write_label(file, compact(mask), grid)
        return digest_file(file)


def list_filed(paths: Paths) -> list[Filed]:
    """All corrections of a project, in the order of their records.

    Raises:
        DataError: If the chain is not whole.
    """
    filed = []
    for record in verify(reviews_root(paths.root)).require_whole().records:
        content = record.content
        if isinstance(content, Correction):
            folder = folder_of(content.case, content.after, paths)
            there = (folder / ABOUT).is_file()
            kept = Kept.read(folder / ABOUT) if there else None
            filed.append(Filed(record, content, folder, kept))
    return filed
