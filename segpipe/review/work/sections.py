"""Sections: a summary in plain words and tables, for the lead's page and a terminal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from segpipe.review.dossier import Dossier
from segpipe.review.statistics import Kappa, Rate
from segpipe.review.work.readings import Readings
from segpipe.review.work.summary import WEIGHTS, Failure, Summary

WORDS = {
    1: "1 unacceptable",
    2: "2 major correction",
    3: "3 minor correction",
    4: "4 as it is",
    None: "cannot judge",
}
Row = dict[str, str]


@dataclass(frozen=True)
class Section:
    """A part of the summary.

    Attributes:
        title: What it is about.
        sentences: What it says.
        rows: A table; cells by the name of their column.
    """

    title: str
    sentences: Sequence[str] = ()
    rows: Sequence[Row] = ()


def build_sections(summary: Summary, readings: Readings) -> list[Section]:
    """Say what the readers of a version found, the answer first."""
    parts = [
        _random(summary, readings),
        _worst(summary),
        _preference(summary, readings.volume.dossier),
        _controls(summary),
        _between(summary),
        _within(summary),
        _effort(summary),
    ]
    if summary.faults:
        parts.append(Section("Records that do not count", summary.faults))
    return parts


def _random(summary: Summary, readings: Readings) -> Section:
    bound = readings.protocol.rating.acceptable_from
    found, patients = summary.unacceptable, readings.key.random_patients
    unknown = len(summary.random) - found.cases
    sentences = [
        f"{_of(found.count, found.cases, 'random case')} not acceptable"
        f"{_share(found)}.",
        "A case is not acceptable if the candidate's mask of any structure has a score "
        f"below {WORDS[bound]}. Where readers agree well enough the lowest score "
        "counts, else the adjudicator's.",
    ]
    if patients:
        sentences.append(_say_how_drawn(readings, patients))
    if unknown:
        cases = "1 more could" if unknown == 1 else f"{unknown} more could"
        sentences.append(f"{cases} not be judged and stands in no rate.")
    return Section("Random cases", sentences, _score_rows(summary))


def _say_how_drawn(readings: Readings, patients: int) -> str:
    drawn = sum(one.stratum == "random" for one in readings.key.items.values())
    wanted = readings.protocol.cases.random
    if drawn < patients or drawn >= wanted:
        return f"They are of different patients, drawn at random out of {patients}."
    return (
        f"They are one of each of the {patients} test patients, where review.yaml asks "
        f"for {wanted}; test cases of more patients would give a closer bound."
    )


def _score_rows(summary: Summary) -> list[Row]:
    rows = []
    for (source, structure), counts in sorted(summary.scores.items()):
        cells = {words: str(counts[score]) for score, words in WORDS.items()}
        rows.append({"mask": source, "structure": structure, **cells})
    return rows


def _worst(summary: Summary) -> Section:
    if not summary.worst:
        return Section("Worst cases", ["None was read."])
    return Section(
        "Worst cases",
        [
            "They were chosen because their figures are the worst, to find faults; no "
            "rate is estimated from them. A case that was drawn at random as well was "
            "read once and counts in both.",
        ],
        [_failure_row(one) for one in summary.worst],
    )


def _failure_row(one: Failure) -> Row:
    verdict = {True: "acceptable", False: "NOT acceptable", None: "cannot judge"}
    scores = {name: WORDS[score] for name, score in one.scores.items()}
    return {
        "case": one.case,
        "place from the worst": str(one.rank or ""),
        "candidate": verdict[one.is_acceptable],
        **scores,
    }


def _preference(summary: Summary, dossier: Dossier) -> Section:
    title, found = "Candidate and champion", summary.preference
    if found is None:
        words = "was shown" if dossier.champion is None else "was rated beside it"
        return Section(title, [f"No champion {words}."])
    apart = found.candidate + found.champion
    total = apart + found.equal
    sentences = [
        f"In {number_of(total, 'random case')} the candidate was rated higher "
        f"{_times(found.candidate)}, the champion {_times(found.champion)}, and both "
        f"the same {_times(found.equal)}.",
        "Readers did not know which is which. The mean score of the structures decides "
        "in each case.",
    ]
    if apart:
        sentences.insert(
            1,
            f"The candidate was preferred in {found.candidate} of {apart} cases with a "
            f"difference{_share(found.rate)}.",
        )
    return Section(title, sentences)


def _controls(summary: Summary) -> Section:
    title = "Controls"
    if not summary.controls:
        return Section(title, ["None was shown."])
    missed = sum(len(one.missed) for one in summary.controls)
    total = missed + sum(len(one.refused) for one in summary.controls)
    return Section(
        title,
        [
            "These masks are bad on purpose, and who looks refuses them. "
            f"{number_of(total - missed, 'reading')} of {total} refused them."
        ],
        [
            {
                "mask": one.fault,
                "refused by": ", ".join(one.refused) or "nobody",
                "not refused by": ", ".join(one.missed) or "nobody",
            }
            for one in summary.controls
        ],
    )


def _between(summary: Summary) -> Section:
    title = "Agreement between readers"
    if not summary.between:
        return Section(title, ["No two readers read the same case."])
    people = summary.people
    return Section(
        title,
        [_explain_kappa()],
        [
            {"readers": f"{people[a]} and {people[b]}", **_kappa_row(one)}
            for (a, b), one in summary.between.items()
        ],
    )


def _within(summary: Summary) -> Section:
    title = "Agreement of each reader with himself or herself"
    if not summary.within:
        return Section(title, ["No case was read twice by the same reader."])
    return Section(
        title,
        ["On the cases that were shown a second time."],
        [
            {"reader": summary.people[name], **_kappa_row(one)}
            for name, one in summary.within.items()
        ],
    )


def _explain_kappa() -> str:
    return (
        "Cohen's kappa: 1 is perfect agreement, 0 is what chance gives. Weights: "
        f"{WEIGHTS}, so that a disagreement counts by its size. Masks of all letters; "
        "no controls, no repeats, no adjudications."
    )


def _kappa_row(one: Kappa) -> Row:
    unknown = math.isnan(one.low)
    return {
        "kappa": "none" if math.isnan(one.value) else f"{one.value:.2f}",
        "95 % interval": "none" if unknown else f"{one.low:.2f} to {one.high:.2f}",
        "scores": str(one.pairs),
        "cases": str(one.cases),
    }


def _effort(summary: Summary) -> Section:
    seconds, adjudicated = summary.seconds, summary.adjudicated
    sentences = [f"{_of(adjudicated, None, 'case')} decided by an adjudicator."]
    if seconds is not None:
        sentences.append(
            f"Median time at work on a case: {seconds:.0f} s, without idle time, over "
            "all readers."
        )
    return Section("Work", sentences)


def number_of(count: int, what: str) -> str:
    """Such as ``1 case`` and ``2 cases``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _of(count: int, total: int | None, what: str) -> str:
    """Such as ``1 of 30 random cases is``, the verb of a sentence included."""
    verb = "is" if 1 in (count, total) else "are"
    if total is None:
        return f"{number_of(count, what)} {'was' if count == 1 else 'were'}"
    return f"{count} of {number_of(total, what)} {verb}"


def _share(found: Rate) -> str:
    """The share with its interval; nothing without any case."""
    if not found.cases:
        return ""
    low, high = _percent(found.low), _percent(found.high)
    return f": {_percent(found.share)}, 95 % interval {low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
