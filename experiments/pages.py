"""Pages: write the tables and plots in docs/experiments from the figures of trials."""

import csv
import io
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.trials import HOME, PAIRS, Figures, Found
from segpipe.evaluation.differences import (
    by_patient,
    judge_differences,
    pair_scores,
    patients_needed,
    power_in_words,
)
from segpipe.evaluation.report.plots import COLOURS, INK, STYLE
from segpipe.project.documents import write_text

PAGES = HOME / "docs" / "experiments"
TABLE, END = "<!-- table -->", "<!-- end -->"
ABSENT = "\N{EN DASH}"


def publish(name: str, found: Found, figures: Sequence[str]) -> None:
    """Write the page of an experiment, and its plot with a panel for each figure."""
    write_page(name, found)
    save_plot(name, [points(found, figure) for figure in figures])


def write_page(name: str, found: Found, *, score: str = "Dice") -> None:
    """Write the tables into docs/experiments/NAME.md, and all trials into NAME.csv.

    Args:
        name: Name of the page.
        found: Figures of all trials.
        score: Name of the score of the pairs.

    Raises:
        ValueError: If the page does not contain the marks around the table.
    """
    write_inner(name, [*build_table(found), *build_differences(found, score)])
    write_text(PAGES / f"{name}.csv", build_csv(found))


def write_pages(name: str, tables: dict[str, Found]) -> None:
    """Write the tables of several data sets into docs/experiments/NAME.md and .csv.

    Args:
        name: Name of the page.
        tables: Title to the figures of all trials. The comparisons of a table are a
            family of their own.

    Raises:
        ValueError: If the page does not contain the marks around the table.
    """
    inner: list[str] = []
    for title, found in tables.items():
        inner += [f"### {title}", "", *build_table(found)]
        inner += [*build_differences(found), ""]
    write_inner(name, inner[:-1])
    write_text(PAGES / f"{name}.csv", build_long_csv(tables))


def write_inner(name: str, lines: list[str]) -> None:
    """Write the lines between the marks of a page, and to standard output.

    Raises:
        ValueError: If the page does not contain the marks around the table.
    """
    page = PAGES / f"{name}.md"
    before, rest = page.read_text(encoding="utf-8").split(TABLE)
    _, after = rest.split(END)
    inner = "\n".join(lines)
    write_text(page, f"{before}{TABLE}\n{inner}\n{END}{after}")
    sys.stdout.write(inner + "\n")


def build_table(found: Found) -> list[str]:
    """Mean ± standard deviation over seeds as a Markdown table, with a row an arm."""
    names = figures_of(found)
    rows = [
        [arm, *(mean_and_sd([row[name] for row in rows]) for name in names)]
        for arm, rows in found.items()
    ]
    return [
        f"| | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def figures_of(found: Found) -> list[str]:
    """Names of the figures that have a column."""
    return [name for name in next(iter(found.values()))[0] if name != PAIRS]


def build_differences(
    found: Found,
    score: str = "Dice",
    compared: Iterable[tuple[str, str]] | None = None,
) -> list[str]:
    """Scores of pairs of arms, compared by patient: a sentence and a Markdown table.

    A patient's difference is the mean over the seeds. Arms are compared if they were
    tested on the same patients and their trials say the score of each.

    Args:
        found: Figures of all trials.
        score: Name of the score of the pairs.
        compared: Names of two arms each; None for each two arms.
    """
    every = itertools.combinations(found, 2)
    differences = {
        (one, other): _by_patient(found[one], found[other])
        for one, other in (every if compared is None else compared)
        if {one, other} <= found.keys()
        if _patients(found[one]) == _patients(found[other]) != []
    }
    if not differences:
        return []
    rows = []
    judged = judge_differences(differences)
    for (one, other), of in judged.items():
        known = math.isfinite(of.low)
        ends = f"{of.low:+.3f} to {of.high:+.3f}" if known else "too few patients"
        better = one if of.low > 0 else other if of.high < 0 else ABSENT
        mean = f"{of.mean:+.3f}"
        rows.append([f"{one} against {other}", str(of.patients), mean, ends, better])
    columns = [
        f"{score} by patient",
        "patients",
        "difference",
        "95 % interval",
        "better",
    ]
    count = len(judged)
    several = f"{count} comparisons, corrected by Holm, need"
    text = (
        "Differences by patient, means of the seeds, with the interval of the exact "
        f"sign-flip permutation test; {several if count > 1 else 'it needs'} "
        f"{patients_needed(count)} patients. "
    )
    return [
        "",
        (text + power_in_words(judged.values())).rstrip(),
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _patients(rows: list[Figures]) -> list[str]:
    """Patients of the pairs of an arm; empty if a trial does not say them."""
    each = [[patient for patient, _ in row.get(PAIRS, [])] for row in rows]
    return each[0] if all(one == each[0] for one in each) else []


def _by_patient(
    one: list[Figures], other: list[Figures]
) -> Float64[np.ndarray, " patient"]:
    """Differences by patient of two arms.

    Trials are paired by seed; if an arm has fewer seeds, each with each of the other.
    """
    as_many = len(one) == len(other)
    pairs = zip(one, other, strict=True) if as_many else itertools.product(one, other)
    of_seeds = [
        pair_scores(
            *(np.array([dice for _, dice in row[PAIRS]], dtype=float) for row in rows)
        )
        for rows in pairs
    ]
    return by_patient(np.ravel(of_seeds), _patients(one) * len(of_seeds))


def mean_and_sd(values: Sequence[float]) -> str:
    """Text such as 0.812 ± 0.013; numbers from 10 on have one digit.

    A single value has no deviation; one that is not known is a dash.
    """
    if all(math.isnan(value) for value in values):
        return ABSENT
    digits = 1 if max(values) >= 10 else 3
    if len(values) == 1:
        (value,) = values
        return str(value) if isinstance(value, int) else f"{value:.{digits}f}"
    spread = np.std(values, ddof=1)
    return f"{np.mean(values):.{digits}f} ± {spread:.{digits}f}"


def build_csv(found: Found) -> str:
    """CSV with a row for each trial."""
    names = figures_of(found)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["arm", "seed", *names])
    for arm, rows in found.items():
        for seed, row in enumerate(rows, start=1):
            writer.writerow([arm, seed, *(f"{row[name]:.6g}" for name in names)])
    return out.getvalue()


def build_long_csv(tables: dict[str, Found]) -> str:
    """CSV with a row for each figure of each trial, as tables differ in figures."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["set", "arm", "seed", "figure", "patient", "value"])
    for title, found in tables.items():
        for arm, rows in found.items():
            for seed, row in enumerate(rows, start=1):
                figures = [(figure, "", row[figure]) for figure in figures_of(found)]
                pairs = [("Dice", patient, dice) for patient, dice in row[PAIRS]]
                for figure, patient, value in [*figures, *pairs]:
                    number = "" if value is None else f"{value:.6g}"
                    writer.writerow([title, arm, seed, figure, patient, number])
    return out.getvalue()


def save_plot(name: str, panels: Sequence[Callable[[Axes], None]]) -> None:
    """Write docs/experiments/NAME.png with the panels side by side."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
        for axes, draw in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True
        ):
            draw(axes)
        figure.savefig(Path(PAGES / f"{name}.png"), dpi=100, metadata={"Software": ""})


def points(found: Found, name: str) -> Callable[[Axes], None]:
    """Panel of one figure for all arms: a point for each seed, a line at the mean."""

    def draw(axes: Axes) -> None:
        for place, rows in enumerate(found.values()):
            values = [row[name] for row in rows]
            axes.plot([place] * len(values), values, "o", color=COLOURS[place])
            middle = float(np.mean(values))
            axes.plot([place - 0.25, place + 0.25], [middle, middle], color=INK)
        labels = [arm.replace(", ", ",\n") for arm in found]
        axes.set_xticks(range(len(found)), labels, fontsize=8)
        axes.set_xlim(-0.5, len(found) - 0.5)
        axes.set_title(name)

    return draw


def lines(
    title: str, series: dict[str, dict[float, list[float]]], *, across: str, up: str
) -> Callable[[Axes], None]:
    """Panel of a line for each series through the means, with a point for each seed."""

    def draw(axes: Axes) -> None:
        for colour, (name, at) in zip(COLOURS, series.items(), strict=False):
            means = [float(np.mean(values)) for values in at.values()]
            axes.plot(list(at), means, color=colour, label=name)
            for place, values in at.items():
                axes.plot([place] * len(values), values, ".", color=colour)
        axes.set_title(title)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.legend()

    return draw
