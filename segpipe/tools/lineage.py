"""lineage: from a mask back to model, run, commit and data, as far as stores know."""

from pathlib import Path

from pydantic import ValidationError

from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.runs import DATA, find_training, tracking_uri
from segpipe.registry.versions import SegmenterRecord
from segpipe.segmenter.segmenter import segmenter_digest
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.training.record import find_trainings, read_record, segmenter_folder

SHOWN = 12  # characters of a digest


def lineage(file: Path, paths: Paths) -> list[str]:
    """The chain behind a mask: inputs, segmenter, run, commit, data.

    Args:
        file: A mask or another output of segment, with its manifest beside it; or the
            manifest itself.
        paths: Of the project whose artifacts, tracking store and git know the rest.

    Raises:
        DataError: If no manifest speaks of the file.
    """
    path, manifest = find_manifest(file)
    made = manifest.segpipe
    lines = [
        _line("mask", f"{file.name}, made {manifest.made} on {manifest.device}"),
        _line("manifest", str(path)),
        _line("segpipe", " ".join(f"{k} {v}" for k, v in made.items())),
        *(
            _line("input", f"{one.name}, {one.files} files, sha256 {one.sha256}")
            for one in manifest.inputs
        ),
        *(_line("warning", text) for text in manifest.warnings),
        *_of_segmenter(manifest.segmenter),
    ]
    for digest in manifest.segmenter.folds:
        lines += _of_fold(digest, manifest.segmenter.run, paths)
    return lines


def find_manifest(file: Path) -> tuple[Path, Manifest]:
    """The manifest that names a file with the digest that it has.

    Raises:
        DataError: If there is none beside the file.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a mask or a manifest, found no file")
    own = _read(file) if file.suffix == ".json" else None
    if own is not None:
        return file, own
    digest = digest_file(file)
    changed = None
    for path in sorted(file.parent.glob("*.json")):
        manifest = _read(path)
        if manifest is None:
            continue
        if digest in manifest.outputs.values():
            return path, manifest
        if file.name in manifest.outputs:
            changed = path
    if changed is not None:
        raise DataError(
            f"{file}: expected the file that {changed.name} describes, found another "
            "content; it was changed after it was made, by hand perhaps"
        )
    raise DataError(
        f"{file}: expected a manifest beside it that names its digest {digest[:SHOWN]}…"
        ", found none; bring it back to where segpipe segment wrote it"
    )


def _read(path: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def _line(name: str, text: str) -> str:
    return f"{name:10} {text}"


def _of_segmenter(record: SegmenterRecord) -> list[str]:
    version = f", registered version {record.version}" if record.version else ""
    folds = len(record.folds)
    said = f"{record.name}{version}, {folds} folds, digest {record.digest}"
    return [_line("segmenter", said)]


def _of_fold(digest: str, run_id: str | None, paths: Paths) -> list[str]:
    """What artifacts, MLflow and git know of a fold's segmenter."""
    lines = []
    folder = find_segmenter(digest, paths)
    if folder is not None:
        lines.append(_line("found in", f"{folder} ({digest[:SHOWN]})"))
        made_from = read_record(folder.parent)
        lines.append(_line("made from", f"fingerprint {made_from.fingerprint}"))
    else:
        where = paths.artifacts / "train"
        lines.append(_line("found in", f"not in {where} ({digest[:SHOWN]})"))
    try:
        run = find_training(paths, digest, run_id)
    except DataError as error:
        return [*lines, _line("run", f"unknown: {error}")]
    if run is None:
        said = f"none in {tracking_uri(paths)} knows it; `segpipe record` would tell it"
        return [*lines, _line("run", said)]
    began = run.began.isoformat(timespec="seconds")
    dirty = run.tags.get("git.dirty") == "true"
    commit = run.tags.get("git.commit", "unknown")
    return [
        *lines,
        _line(
            "run", f"{run.name} {run.run_id} in {tracking_uri(paths)}, begun {began}"
        ),
        _line("commit", commit + ", with files that differed from it" * dirty),
        _line("data", f"md5 {run.tags[DATA]}" if DATA in run.tags else "unknown"),
    ]


def find_segmenter(digest: str, paths: Paths) -> Path | None:
    """The folder of the project's artifacts with a segmenter of a digest."""
    for training in find_trainings(paths.artifacts):
        folder = segmenter_folder(training)
        if segmenter_digest(folder) == digest:
            return folder
    return None
