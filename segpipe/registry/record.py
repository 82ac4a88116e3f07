"""record: create or complete the MLflow runs of the trainings in artifacts/."""

import logging
from pathlib import Path
from typing import Any

from segpipe.evaluation.figures import figures_file, read_figures, rows_file
from segpipe.evaluation.report.page import key_file, page_file
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, digest_json
from segpipe.project.origin.commit import data_version, git_tags
from segpipe.project.origin.study import code_tags
from segpipe.project.params import read_params
from segpipe.project.paths import Paths
from segpipe.registry.runs import (
    attach,
    find_or_create_pair,
    finish,
    log_rows,
    metric_name,
    set_tags,
)
from segpipe.registry.store import DATA, SEGMENTER, reachable, shown_uri
from segpipe.segmenter.spec import segmenter_digest, spec_file
from segpipe.training.record import (
    history_file,
    read_history,
    read_record,
    segmenter_folder,
    training_folder,
)

log = logging.getLogger(__name__)
# The figures that readers look for first: tag to group and figure.
HEADLINES = {
    "test/dice": ("test", "dice_mean"),
    "test/iou": ("test", "iou_mean"),
    "test/pa": ("dataset", "pixel_accuracy"),
}


def record(paths: Paths) -> list[str]:
    """Create or complete the runs of the listed models and folds; idempotent.

    A run is found by the fingerprint that its training left in artifacts/, so a stage
    that DVC restored from its cache gets its run too, and no run is created twice.
    Steps, for each fold: create the model's run and the fold's, then add the params,
    tags, rows and status that they have not; at last the model's figures and files. A
    call that was killed is completed by the next one.

    Returns:
        A line for each run that says what was done, then where the runs are.

    Raises:
        DataError: If nothing is trained yet, or the store cannot be reached.
    """
    document = read_params(paths.params)
    lines: list[str] = []
    for model in document["models"]:
        trained = [
            training_folder(paths.artifacts, str(model), fold)
            for fold in document["folds"]
        ]
        found = [folder for folder in trained if history_file(folder).is_file()]
        if found:
            lines += record_model(paths, str(model), found)[1]
    if not lines:
        raise DataError(
            f"{paths.artifacts / 'train'}: expected trained models, found none of "
            f"{', '.join(map(str, document['models']))}; run `dvc repro`"
        )
    return [*lines, f"in {shown_uri(paths)}"]


def record_model(
    paths: Paths, model: str, trained: list[Path]
) -> tuple[str, list[str]]:
    """Create or complete the runs of a model.

    Args:
        paths: The project's folders.
        model: Name of the model.
        trained: Folders of its trained folds in artifacts/train; at least one.

    Returns:
        Id of the model's own run, the parent of its folds' runs; a line for each run
        that says what was done.

    Raises:
        DataError: If the store cannot be reached.
    """
    lines = []
    with reachable(paths) as (client, experiment):
        for folder in trained:
            made_from = read_record(folder)
            tags = {
                "device": _device(made_from.compute),
                **git_tags(paths.root),
                **code_tags(),
            }
            parent, child = find_or_create_pair(
                client, experiment, record=made_from, tags=tags
            )
            set_tags(client, child, _origin(folder, paths))
            new = log_rows(client, child, read_history(folder))
            ended = finish(client, child)
            done = "recorded" if new or ended else "unchanged"
            lines.append(f"{done:9}  {model}, fold {made_from.fold}")
        metrics, files = figures(paths, model), _files(paths, model)
        digest = digest_json(
            [metrics, {place: digest_file(file) for place, file in files.items()}]
        )
        added = attach(
            client,
            parent,
            metrics=metrics,
            files=files,
            description=_describe(metrics),
            digest=digest,
        )
        done = "recorded" if finish(client, parent) or added else "unchanged"
        lines.append(f"{done:9}  {model}, test figures and report")
    return parent.info.run_id, lines


def _origin(folder: Path, paths: Paths) -> dict[str, str]:
    """Tags by which lineage finds the run of a segmenter, and the data behind it."""
    data = data_version(paths.root)
    known = {} if data is None else {DATA: data}
    segmenter = segmenter_folder(folder)
    if spec_file(segmenter).is_file():
        known[SEGMENTER] = segmenter_digest(segmenter)
    return known


def _describe(metrics: dict[str, float]) -> str:
    """The headlines as a Markdown table; empty before evaluation."""
    known = {name: metrics[name] for name in HEADLINES if name in metrics}
    if not known:
        return ""
    columns = [" | ".join(known), " | ".join("---" for _ in known)]
    columns.append(" | ".join(f"{value:.3f}" for value in known.values()))
    rest = "All figures: Model metrics; pictures and the report: Artifacts."
    return "\n".join(f"| {line} |" for line in columns) + f"\n\n{rest}"


def _device(compute: dict[str, Any]) -> str:
    return f"{compute['device']}, {compute['precision']}, {compute['threads']} threads"


def figures(paths: Paths, model: str) -> dict[str, float]:
    """Figures of the test set, flat: ``structures/liver/dice_mean`` and so on."""
    if not figures_file(paths.artifacts, model).is_file():
        return {}
    document = read_figures(paths.artifacts, model).model_dump()
    flat = _flatten({name: v for name, v in document.items() if isinstance(v, dict)})
    for name, (group, figure) in HEADLINES.items():
        if document[group][figure] is not None:
            flat[name] = float(document[group][figure])
    return flat


def _flatten(document: dict[str, Any], lead: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in document.items():
        place = lead + metric_name(name)
        if isinstance(value, dict):
            flat |= _flatten(value, f"{place}/")
        elif isinstance(value, int | float):
            flat[place] = float(value)
    return flat


def _files(paths: Paths, model: str) -> dict[str, Path]:
    """Files attached to a model's run: the report, its pictures and the tables.

    Files with names of cases stay in the project: the key to the report's numbers, and
    the figures of each case. The report has these figures under numbers, so that the
    two together would be the key again.
    """
    named = {key_file(paths.artifacts), rows_file(paths.artifacts, model)}
    found = {
        "evaluate": figures_file(paths.artifacts, model).parent,
        "report": page_file(paths.artifacts).parent,
    }
    return {
        f"{name}/{file.name}": file
        for name, folder in found.items()
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file not in named
    }
