"""Board: the page, its table of all rows and its picture, from the files of trials."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.leaderboard.sets import BOARDS, Board
from experiments.pages import (
    ABSENT,
    PAGES,
    build_differences,
    mean_and_sd,
    write_inner,
)
from experiments.trials import PAIRS, Found
from segpipe.evaluation.matching import IOU_STEPS
from segpipe.evaluation.report.plots import COLOURS, INK, STYLE
from segpipe.project.documents import write_text
from segpipe.project.errors import DataError

NAME = "leaderboard"
Score = Literal["Dice", "IoU", "F1", "AP"]
Results = dict[str, list[dict[str, Any]]]  # arm to the documents of its seeds
OVER = 1.1  # times the seconds: a row says so from there on
Boards = Sequence[tuple[str, Results]]  # name of a set, and a run of it
SCORES: tuple[Score, ...] = ("Dice", "IoU", "F1", "AP")
COSTS: dict[
    str, Callable[[dict[str, Any]], float]
] = {  # column to the figure of a document
    "weights, millions": lambda one: one["parameters"] / 1e6,
    "kMAC a voxel": lambda one: (
        (one["multiply_adds"] or math.nan) / one["voxels"] / 1e3
    ),
    "steps": lambda one: one["steps"],
    "s, training": lambda one: one["training_s"],
    "s, a case": lambda one: one["predict_s"],
    "GB": lambda one: one["peak_gb"],
}


def publish(folders: Sequence[Path]) -> None:
    """Write the page, the CSV of all cases and the picture.

    Args:
        folders: Folders of the results of a run each, with a folder a set. Each has
            tables of its own: what was run otherwise is not ranked together.

    Raises:
        DataError: If there is no result, or trials of a folder were not run alike.
    """
    boards = [
        (name, read_results(place / name)) for name in BOARDS for place in folders
    ]
    known = [(name, found) for name, found in boards if found]
    if not known:
        raise DataError(
            f"{', '.join(map(str, folders))}: expected results of trials, found none; "
            "run them first"
        )
    write_inner(NAME, build_page(known))
    write_text(PAGES / f"{NAME}.csv", build_csv(known))
    save_picture(PAGES / f"{NAME}.png", known)


def read_results(folder: Path) -> Results:
    """The documents of a set by arm, ordered by Dice, the best first; and by seed.

    Raises:
        DataError: If trials were not run alike.
    """
    found: Results = {}
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault(document["arm"], []).append(document)
    alike = {
        json.dumps([one["settings"], one["on"]], sort_keys=True)
        for each in found.values()
        for one in each
    }
    if len(alike) > 1:
        raise DataError(
            f"{folder}: expected trials of one kind, found {', '.join(sorted(alike))}; "
            "keep each kind in a folder of its own, with --work"
        )
    ranked = sorted(found, key=lambda arm: -mean_score(found[arm], "Dice"))
    return {arm: sorted(found[arm], key=lambda one: one["seed"]) for arm in ranked}


def score_of(case: dict[str, Any], score: Score) -> float | None:
    """A score of a case and structure; None where it has none.

    Args:
        case: An entry of a document's cases.
        score: ``Dice`` or ``IoU`` of voxels; of instances ``F1`` at an IoU of .5, or
            ``AP``, the mean of TP / (TP + FP + FN) over IoU of .5 to .95.
    """
    if score in ("Dice", "IoU"):
        value: float | None = case[score.lower()]
        return value
    total = case.get("n_reference", 0) + case.get("n_predicted", 0)
    if not total:
        return None
    hits = np.array(case["hits"])
    if score == "F1":
        return float(2 * hits[IOU_STEPS.index(0.5)] / total)
    return float((hits / (total - hits)).mean())


def pairs_of(one: dict[str, Any], score: Score) -> list[tuple[str, float | None]]:
    """Patient and score of each structure and case of a trial."""
    return [(case["patient"], score_of(case, score)) for case in one["cases"]]


def mean_of(one: dict[str, Any], score: Score) -> float:
    """Mean over patients of the mean of each; NaN if no case has the score."""
    each: dict[str, list[float]] = {}
    for patient, value in pairs_of(one, score):
        if value is not None:
            each.setdefault(patient, []).append(value)
    means = [float(np.mean(values)) for values in each.values()]
    return float(np.mean(means)) if means else math.nan


def mean_score(documents: Iterable[dict[str, Any]], score: Score) -> float:
    """Mean over the seeds."""
    return float(np.mean([mean_of(one, score) for one in documents]))


def build_page(boards: Boards) -> list[str]:
    """Lines of the page: a table a set and run, and the pairs of its claims."""
    lines: list[str] = []
    for name, found in boards:
        title = title_of(name, found)
        lines += [f"### {title}", "", tell_settings(found), "", *build_rows(found)]
        lines += [*build_claims(BOARDS[name], found), ""]
    return lines[:-1]


def settings_of(found: Results) -> dict[str, Any]:
    """Settings of all trials of a table; older ones did not note their code."""
    settings: dict[str, Any] = next(iter(found.values()))[0]["settings"]
    return {"code": "unknown", **settings}


def title_of(name: str, found: Results) -> str:
    """Set, seconds and code of a table."""
    settings = settings_of(found)
    return f"{name}, {settings['seconds']:g} s, code {settings['code']}"


def tell_settings(found: Results) -> str:
    """How the trials of a set were run, in a sentence."""
    one = next(iter(found.values()))[0]
    settings, lanes = one["settings"], one["settings"]["lanes"]
    beside = f"{lanes} trainings beside each other" if lanes > 1 else "one at a time"
    tests = len({case["patient"] for case in one["cases"]})
    clock = "wall time" if settings["device"] == "cuda" else "one core's time"
    return (
        f"{settings['seconds']:g} s of {clock} a training on {one['on']}, {beside}; "
        f"{settings['width']} networks; {tests} patients tested."
    )


def build_rows(found: Results) -> list[str]:
    """The table of a set: scores with their deviation over seeds, costs as means."""
    known = [
        score
        for score in SCORES
        if not all(math.isnan(mean_score(each, score)) for each in found.values())
    ]
    names = ["", "seeds", *known, *COSTS]
    rows, seconds = [], settings_of(found)["seconds"]
    for arm, each in found.items():
        scores = [mean_and_sd([mean_of(one, score) for one in each]) for score in known]
        costs = [
            short(float(np.mean([cost(one) for one in each])))
            for cost in COSTS.values()
        ]
        late = np.mean([one["training_s"] for one in each]) > OVER * seconds
        name = f"{arm} (over its time)" if late else arm
        rows.append([name, str(len(each)), *scores, *costs])
    return [
        f"| {' | '.join(names)} |",
        "|---" * len(names) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def short(value: float) -> str:
    """A number with three digits, or whole: 0.0123, 1.23, 12.3, 1234."""
    if math.isnan(value):
        return ABSENT
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def build_claims(board: Board, found: Results) -> list[str]:
    """The pairs of the claims of a set, compared by patient, a family a score."""
    lines: list[str] = []
    for score in ("Dice", "AP"):
        pairs = [
            pair for one in board.claims if one.score == score for pair in one.pairs
        ]
        scored: Found = {
            arm: [{PAIRS: pairs_of(one, score)} for one in each]
            for arm, each in found.items()
        }
        lines += build_differences(scored, score, pairs)
    return lines


def build_csv(boards: Boards) -> str:
    """CSV with a row for each case and structure of each trial."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = ("set", "seconds", "code", "arm", "seed", "steps", "patient", "structure")
    writer.writerow([*columns, *SCORES])
    for name, found in boards:
        run = [f"{settings_of(found)['seconds']:g}", settings_of(found)["code"]]
        for arm, each in found.items():
            for one in each:
                for case in one["cases"]:
                    scores = [score_of(case, score) for score in SCORES]
                    writer.writerow(
                        [name, *run, arm, one["seed"], one["steps"]]
                        + [case[key] for key in ("patient", "structure")]
                        + ["" if value is None else f"{value:.4g}" for value in scores]
                    )
    return out.getvalue()


def save_picture(file: Path, boards: Boards) -> None:
    """Write a panel a table: Dice of each seed, and the mean, the best arm on top."""
    rows = max(len(found) for _, found in boards)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(5.6 * len(boards), 1.2 + 0.24 * rows), layout="constrained"
        )
        panels = np.atleast_1d(figure.subplots(1, len(boards)))
        for axes, (name, found) in zip(panels, boards, strict=True):
            draw_ranking(axes, title_of(name, found), found)
        figure.savefig(file, dpi=100, metadata={"Software": ""})


def draw_ranking(axes: Axes, name: str, found: Results) -> None:
    """A point for each seed and a line at the mean, from the best arm down."""
    for place, each in enumerate(found.values()):
        values = [mean_of(one, "Dice") for one in each]
        axes.plot(values, [place] * len(values), "o", color=COLOURS[0], alpha=0.7)
        middle = float(np.mean(values))
        axes.plot([middle, middle], [place - 0.3, place + 0.3], color=INK)
    axes.set_yticks(range(len(found)), list(found), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("Dice, mean over patients")
    axes.set_title(name)
