"""lineage: trace a mask back to its segmenter, run, commit and data."""

from datetime import UTC, datetime
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.registry.runs import find_training
from segpipe.registry.store import DATA, shown_uri
from segpipe.segmenter.spec import segmenter_digest
from segpipe.tools.segmenting.manifest import Manifest, read_manifest
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
    """Find the manifest beside a file that lists it.

    It is the one that lists its name, if the digest is right. A file that was renamed
    is known by its digest, if one manifest alone lists that: masks of several cases
    may be equal, as empty ones are.

    Raises:
        DataError: If there is none, or several fit.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a mask or a manifest, found no file")
    own = read_manifest(file) if file.suffix == ".json" else None
    if own is not None:
        return file, own
    digest = digest_file(file)
    beside = [
        (path, read_manifest(path)) for path in sorted(file.parent.glob("*.json"))
    ]
    known = [(path, one) for path, one in beside if one is not None]
    named = [(path, one) for path, one in known if file.name in one.outputs]
    if named:
        fitting = [pair for pair in named if pair[1].outputs[file.name] == digest]
    else:
        fitting = [pair for pair in known if digest in pair[1].outputs.values()]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DataError(
            f"{file}: expected one manifest that lists it, found "
            f"{', '.join(path.name for path, _ in fitting)}, which list equal files; "
            "give the file the name back under which segpipe segment wrote it"
        )
    if named:
        raise DataError(
            f"{file}: expected the content that {named[0][0].name} describes, found "
            "another; it was changed after it was made, by hand perhaps"
        )
    raise DataError(
        f"{file}: expected a manifest beside it that lists its digest {digest[:SHOWN]}…"
        ", found none; move it back to where segpipe segment wrote it"
    )


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
        missing = f"not in {shown_uri(paths)}; `segpipe record` adds it"
        return [*lines, _line("run", missing)]
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    since = began.isoformat(timespec="seconds")
    store, tags = shown_uri(paths), run.data.tags
    dirty = ", with files that differed from it" * (tags.get("git.dirty") == "true")
    return [
        *lines,
        _line(
            "run", f"{run.info.run_name} {run.info.run_id} in {store}, begun {since}"
        ),
        _line("commit", tags.get("git.commit", "unknown") + dirty),
        _line("code", _describe_code(tags)),
        _line("data", f"md5 {tags[DATA]}" if DATA in tags else "unknown"),
    ]


def _describe_code(tags: dict[str, str]) -> str:
    """The segpipe of a run; runs of before it was recorded have no such tags."""
    if "segpipe.code" not in tags:
        return "unknown"
    return f"segpipe {tags['segpipe.version']}, digest {tags['segpipe.code'][:SHOWN]}"


def find_segmenter(digest: str, paths: Paths) -> Path | None:
    """Find the folder in the project's artifacts whose segmenter has a digest."""
    for training in find_trainings(paths.artifacts):
        folder = segmenter_folder(training)
        if segmenter_digest(folder) == digest:
            return folder
    return None
