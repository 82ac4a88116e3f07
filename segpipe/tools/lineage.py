"""lineage: trace a mask back to its segmenter, run, commit and data."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import SegmenterRecord
from segpipe.registry.runs import find_training
from segpipe.registry.store import DATA, tracking_uri
from segpipe.segmenter.spec import segmenter_digest
from segpipe.tools.segmenting.manifest import Manifest
from segpipe.training.record import find_trainings, read_record, segmenter_folder

SHOWN = 12  # characters of a digest


def lineage(file: Path, paths: Paths) -> list[str]:
    """List what a mask was made from: inputs, segmenter, run, commit, data.

    Args:
        file: A mask or another output of segment, with its manifest beside it; or the
            manifest itself.
        paths: Folders of the project whose artifacts and MLflow store know the rest.

    Raises:
        DataError: If no manifest describes the file.
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
        _line("segmenter", _describe(manifest.segmenter)),
    ]
    for digest in manifest.segmenter.folds:
        lines += _trace_fold(digest, manifest.segmenter.run, paths)
    return lines


def find_manifest(file: Path) -> tuple[Path, Manifest]:
    """Find the manifest that lists a file with its current digest.

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
            f"{file}: expected the content that {changed.name} describes, found "
            "another; it was changed after it was made, by hand perhaps"
        )
    raise DataError(
        f"{file}: expected a manifest beside it that lists its digest {digest[:SHOWN]}…"
        ", found none; move it back to where segpipe segment wrote it"
    )


def _read(path: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def _line(name: str, text: str) -> str:
    return f"{name:10} {text}"


def _describe(record: SegmenterRecord) -> str:
    version = f", registered version {record.version}" if record.version else ""
    return f"{record.name}{version}, {len(record.folds)} folds, digest {record.digest}"


def _trace_fold(digest: str, run_id: str | None, paths: Paths) -> list[str]:
    """What artifacts and MLflow know about the segmenter of a fold."""
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
        missing = f"not in {tracking_uri(paths)}; `segpipe record` adds it"
        return [*lines, _line("run", missing)]
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    since = began.isoformat(timespec="seconds")
    store, tags = tracking_uri(paths), run.data.tags
    dirty = ", with files that differed from it" * (tags.get("git.dirty") == "true")
    return [
        *lines,
        _line(
            "run", f"{run.info.run_name} {run.info.run_id} in {store}, begun {since}"
        ),
        _line("commit", tags.get("git.commit", "unknown") + dirty),
        _line("data", f"md5 {tags[DATA]}" if DATA in tags else "unknown"),
    ]


def find_segmenter(digest: str, paths: Paths) -> Path | None:
    """Find the folder in the project's artifacts whose segmenter has a digest."""
    for training in find_trainings(paths.artifacts):
        folder = segmenter_folder(training)
        if segmenter_digest(folder) == digest:
            return folder
    return None
