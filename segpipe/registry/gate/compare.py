"""compare: judge a candidate against the champion on patients unknown to both."""

import logging
import math
from pathlib import Path

from segpipe.dataset.case import CaseList, pseudonyms, read_cases
from segpipe.dataset.split import Split, read_split, split_file
from segpipe.evaluation.figures import Rows, read_rows, rows_file
from segpipe.evaluation.report.plots import plot_pairs
from segpipe.evaluation.scores import Row
from segpipe.images.values import Legend
from segpipe.project.documents import write_bytes
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.origin.commit import require_unchanged
from segpipe.project.params import read_params
from segpipe.project.paths import Paths
from segpipe.registry.gate.champion import evaluate_champion
from segpipe.registry.gate.comparison import Comparison, Pair, Rule, Side
from segpipe.registry.gate.judge import judge, refuse
from segpipe.registry.mlflow_model.provenance import Provenance, read_provenance
from segpipe.registry.register import Trained, check_predictions, find_trained
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import ensemble_digest, find_folds, segmenter_digest
from segpipe.training.record import (
    DICE,
    PRECISION,
    WORDS,
    read_kept_row,
    read_record,
    record_file,
    training_folder,
)

log = logging.getLogger(__name__)
UNSEALED = (
    "Not sealed: no registry vouches for the provenance.json of {}, so a test patient "
    "that it trained on may be among those compared."
)


def compare_with_champion(
    model: str,
    champion: Path,
    *,
    champion_name: str,
    sealed: bool,
    rule: Rule,
    compute: Compute,
    paths: Paths,
) -> Comparison:
    """Judge the model in artifacts/ against the champion.

    The candidate's figures are those that evaluate wrote. The champion segments the
    same cases with the same params, and evaluate compares the results. Its label maps,
    the comparison and its plot are kept in ``.cache/comparison``.

    Args:
        model: The candidate: a name of the list models in params.yaml.
        champion: Folder that contains its folds and its provenance.json.
        champion_name: Name of the champion in reports.
        sealed: Whether the registry vouches for the champion's provenance.json, which
            says whom it trained on; if not, the comparison says so.
        rule: Rule by which the candidate is judged.
        compute: Device, precision and threads.
        paths: The project's folders.

    Raises:
        DataError: If the files in artifacts/, or those of the champion, do not belong
            together.
    """
    trained, theirs = find_trained(model, paths), find_folds(champion)
    sides = (
        Side(name=model, digest=trained.digest),
        Side(
            name=champion_name,
            digest=ensemble_digest([segmenter_digest(one) for one in theirs]),
        ),
    )
    if sides[0].digest == sides[1].digest:
        why = f"Nothing new: {model} is the same segmenter as {champion_name}."
        return _keep(refuse(*sides, rule, (why,)), paths)
    provenance = _provenance(champion, sides[1])
    cases, split = read_cases(paths.artifacts), read_split(paths.artifacts)
    _check_split(trained, paths)
    check_predictions(trained, paths)
    require_unchanged(rows_file(paths.artifacts, model), paths.root)
    segmenter = Segmenter.ensemble(theirs)
    differences = incomparable(cases, segmenter)
    if differences:
        return _keep(refuse(*sides, rule, differences), paths)
    left_out = _left_out(cases, split, provenance)
    names = [name for name in split.test if name not in left_out]
    found = read_rows(paths.artifacts, model)
    other = evaluate_champion(
        segmenter, sides[1].digest, cases, names, compute=compute, paths=paths
    )
    comparison = judge(
        _pairs(cases, names, found, other, rows_file(paths.artifacts, model)),
        candidate=sides[0],
        champion=sides[1],
        rule=rule,
        patients={case.name: case.patient for case in cases.cases},
        left_out=left_out,
        pseudonyms=pseudonyms([case.name for case in cases.cases]),
    )
    unsealed = () if sealed else (UNSEALED.format(champion_name),)
    doubts = (*unsealed, *comparison.doubts)
    return _keep(comparison.model_copy(update={"doubts": doubts}), paths)


def choose_model(paths: Paths) -> tuple[str, str, dict[str, float]]:
    """Choose the model that is best on validation cases, to compare with the champion.

    The figure of a model is the mean over its folds of the average precision of
    instances, if instances judged all models, else of the validation Dice, in the epoch
    whose network was kept. The test set is not used: a model chosen by it would look
    better there than it is. Among equal models the first in params.yaml is chosen.

    Returns:
        Name of the model, what the figure is called, and the figure of every model.

    Raises:
        DataError: If a model is not trained.
    """
    params = read_params(paths.params)
    kept = {
        str(model): [
            read_kept_row(training_folder(paths.artifacts, model, fold))
            for fold in params["folds"]
        ]
        for model in params["models"]
    }
    by_instances = all(PRECISION in row for rows in kept.values() for row in rows)
    figure = PRECISION if by_instances else DICE
    figures = {model: _mean(rows, figure) for model, rows in kept.items()}
    return max(figures, key=lambda model: figures[model]), WORDS[figure], figures


def _mean(rows: list[dict[str, float]], figure: str) -> float:
    """Mean over the folds; a fold where nothing could be judged counts as 0."""
    known = [0.0 if math.isnan(row[figure]) else row[figure] for row in rows]
    return sum(known) / len(known)


def comparison_file(comparison: Comparison, paths: Paths) -> Path:
    """File of a comparison; its plot is beside it, as .png."""
    one, other = comparison.candidate, comparison.champion
    name = f"{one.name}-{one.digest[:12]}-{other.digest[:12]}.json"
    return paths.cache / "comparison" / name


def _keep(comparison: Comparison, paths: Paths) -> Comparison:
    path = comparison_file(comparison, paths)
    comparison.write(path)
    scores = {
        f"{comparison.pseudonyms[pair.case]}, {pair.structure}": (
            pair.structure,
            pair.scores[1],
            pair.scores[0],
        )
        for pair in comparison.pairs
        if pair.scores is not None
    }
    picture = path.with_suffix(".png")
    picture.unlink(missing_ok=True)
    if scores:
        axes = (comparison.champion.name, comparison.candidate.name)
        write_bytes(picture, plot_pairs(scores, axes))
    log.info("compare: %s", path)
    return comparison


def _provenance(champion: Path, side: Side) -> Provenance:
    """Read the champion's provenance, which lists the patients that it knows.

    Raises:
        DataError: If it belongs to another segmenter.
    """
    provenance = read_provenance(champion)
    if provenance.digest != side.digest:
        raise DataError(
            f"{champion}: expected the provenance of the segmenter beside it, "
            f"{side.digest[:12]}, found that of {provenance.digest[:12]}; "
            "fetch the champion again, or register it again"
        )
    return provenance


def _check_split(trained: Trained, paths: Paths) -> None:
    """Refuse folds that were trained on another split than the current one."""
    split = split_file(paths.artifacts)
    for folder in trained.folders.values():
        training = folder.parent
        if read_record(training).inputs["split"] != digest_file(split):
            raise DataError(
                f"{record_file(training)}: expected a training on {split}, found one "
                "on another split, which may have held test patients; run `dvc repro`"
            )


def incomparable(cases: CaseList, champion: Segmenter) -> tuple[str, ...]:
    """How the champion's data differ from the project's, one sentence a difference."""
    plan = champion.spec.plan
    asked = {
        "structures": _values(cases.legend),
        "channels": list(cases.channels),
        "dimensions": cases.dimensions,
        "unit": cases.unit,
    }
    known = {
        "structures": _values(plan.legend),
        "channels": list(plan.channels),
        "dimensions": plan.dimensions,
        "unit": plan.unit,
    }
    return tuple(
        f"Not comparable: the data's {name} are {ours}, the champion's {known[name]}."
        for name, ours in asked.items()
        if ours != known[name]
    )


def _values(legend: Legend) -> dict[str, int | list[int]]:
    """The value of each structure, or the values that it unites."""
    pairs = zip(legend.structures, legend.members, strict=True)
    return {name: own[0] if len(own) == 1 else list(own) for name, own in pairs}


def _left_out(cases: CaseList, split: Split, provenance: Provenance) -> dict[str, str]:
    """Test cases of patients that one of the two trained on, with the reason."""
    test = set(split.test)
    known = {case.patient for case in cases.cases if case.name not in test}
    left_out = {}
    for name in split.test:
        patient = cases[name].patient
        if patient in known:
            left_out[name] = "the candidate knows the patient"
        elif provenance.knows(patient):
            left_out[name] = "the champion knows the patient"
    return left_out


def _pairs(
    cases: CaseList, names: list[str], found: Rows, other: Rows, file: Path
) -> list[Pair]:
    pairs = []
    for name in names:
        for structure in cases.structures[1:]:
            if (name, structure) not in found:
                raise DataError(
                    f"{file}: expected {structure} of {name}, found no such row; "
                    "run `dvc repro`"
                )
            ours, theirs = found[name, structure], other[name, structure]
            pairs.append(
                Pair(
                    case=name,
                    structure=structure,
                    candidate=_dice(ours),
                    champion=_dice(theirs),
                    candidate_failed=ours["failed"],
                    champion_failed=theirs["failed"],
                )
            )
    return pairs


def _dice(row: Row) -> float | None:
    """Dice of a row; None where the structure is absent and was not found."""
    dice: float = row["dice"]
    return None if math.isnan(dice) else dice
