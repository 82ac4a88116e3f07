"""Description of a version in words: what its page in MLflow shows a person.

MLflow's databases keep LONGEST characters of it: PostgreSQL refuses more, sqlite does
not count. The parts of which it consists are therefore limited, and say where the rest
stands.
"""

import re
from collections.abc import Mapping

from segpipe.registry.mlflow_model.provenance import Provenance

STANDING = "### Standing"  # what follows is written anew by each promotion
FIGURES = {"Dice": "dice_mean", "IoU": "iou_mean", "HD95 mm": "hd95_mm_mean"}
FIGURES |= {"HD95 px": "hd95_px_mean"}
SHOWN = 12  # characters of a digest
LONGEST = 5000  # characters of a description
LONGEST_ORIGIN, LONGEST_REASON = 3500, 400  # two reasons and the rest fit beside it


def describe_origin(
    made: Provenance, *, dataset: str, folds: int, experiment: str, run: str
) -> str:
    """Markdown on what a version is: figures, data set, code and report.

    Args:
        made: Its provenance, with the figures of the test set.
        dataset: Name of the data set; "" if it is not known.
        folds: Number of its folds.
        experiment: Id of the experiment.
        run: Id of the run, which holds the report and all pictures.
    """
    about = [
        f"Data set: {dataset or 'unnamed'}"
        + (f", md5 `{made.data[:SHOWN]}`" if made.data else ""),
        f"Trained and validated on {len(made.patients)} patients, {folds} "
        f"fold{'s' * (folds > 1)}; digest `{made.digest[:SHOWN]}`",
    ]
    if made.commit:
        edits = ", with uncommitted changes" if made.dirty else ""
        about.append(f"Code: commit `{made.commit[:SHOWN]}`{edits}")
    page = f"#/experiments/{experiment}/runs/{run}"
    figures = f"[all figures]({page}/model-metrics)"
    about.append(f"[Report and pictures]({page}/artifacts), {figures}")
    lines = "\n".join(f"- {line}" for line in about)
    head, tail = f"**{made.model}** on the test set\n\n", f"\n\n{lines}"
    room = LONGEST_ORIGIN - len(head) - len(tail)
    return f"{head}{_fitting_table(made.metrics, room, figures)}{tail}"


def _fitting_table(metrics: Mapping[str, float], room: int, rest: str) -> str:
    """The table of the figures, or its first structures with a link to the others.

    Args:
        metrics: Figures as provenance.json has them.
        room: Characters that it may have.
        rest: Link to all figures.
    """
    whole = figures_table(metrics)
    if len(whole) <= room:
        return whole
    total = len(_structures(metrics))
    lines = whole.splitlines()
    head, rows, tail = lines[:2], lines[2 : 2 + total], lines[2 + total :]

    def shorten(count: int) -> str:
        said = f"The first {count} of {total} structures; the others: {rest}."
        return "\n".join([*head, *rows[:count], *tail, "", said])

    count = room // min(map(len, rows))
    while count and len(shorten(count)) > room:
        count -= 1
    return shorten(count)


def figures_table(metrics: Mapping[str, float]) -> str:
    """Markdown table with a row for each structure, and one for their mean.

    Args:
        metrics: Figures as provenance.json has them: ``structures/liver/dice_mean``.
    """
    names = _structures(metrics)
    places = {name: f"structures/{name}" for name in names} | {"**mean**": "test"}
    columns = {
        title: figure
        for title, figure in FIGURES.items()
        if any(f"{place}/{figure}" in metrics for place in places.values())
    }
    rows = [
        [name, *(_text(metrics.get(f"{place}/{key}")) for key in columns.values())]
        for name, place in places.items()
    ]
    table = [["structure", *columns], ["---"] * (1 + len(columns)), *rows]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    accuracy = metrics.get("test/pa")
    extra = "" if accuracy is None else f"\n\nPixel accuracy: {accuracy:.3f}"
    return f"{lines}{extra}"


def _structures(metrics: Mapping[str, float]) -> list[str]:
    return [
        name.removeprefix("structures/").removesuffix("/dice_mean")
        for name in metrics
        if name.startswith("structures/") and name.endswith("/dice_mean")
    ]


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def describe_standing(aliases: tuple[str, ...], tags: Mapping[str, str]) -> str:
    """Markdown on the aliases of a version, and who moved them, when and why.

    Args:
        aliases: Its aliases.
        tags: Its tags, which the promotion wrote.
    """
    named = " and ".join(f"the {alias}" for alias in aliases)
    lines = [f"It is {named or 'neither candidate nor champion'}."]
    for act, words in (("promoted", "Promoted"), ("rolled_back", "Rolled back")):
        if f"{act}.at" in tags:
            who = tags.get(f"{act}.by")
            by = f" by {who}" if who else ""
            when, why = tags[f"{act}.at"][:16], _reason(tags, f"{act}.why")
            when = f"{when.replace('T', ' ')} UTC"
            lines.append(f"{words} {when}{by}: {why}")
    status = tags.get("review.status")
    if status:
        lines.append(f"Review: {status}")
    return "\n".join(f"- {line}" for line in lines)


def _reason(tags: Mapping[str, str], tag: str) -> str:
    """A reason, or its first sentences and the name of the tag with the whole."""
    whole = tags.get(tag, "")
    if len(whole) <= LONGEST_REASON:
        return whole
    begin = whole[:LONGEST_REASON]
    ends = [found.end() for found in re.finditer(r"[.!?;](?=\s)|\n", begin)]
    cut = begin[: ends[-1]] if ends else begin.rsplit(maxsplit=1)[0]
    return f"{cut.rstrip()} \N{HORIZONTAL ELLIPSIS} The whole reason: tag {tag}."


def with_standing(text: str, standing: str) -> str:
    """A description whose last part is this standing; what stands before it is kept.

    Where both together are too long, the standing loses its last lines, or goes.
    """
    before = text.partition(STANDING)[0].rstrip()
    lines = standing.splitlines()
    while lines:
        whole = "\n".join([before, "", STANDING, "", *lines]).lstrip()
        if len(whole) <= LONGEST:
            return whole
        lines.pop()
    return before
