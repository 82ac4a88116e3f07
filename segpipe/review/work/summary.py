"""Summary: what the signed readings of a version say, with the intervals they allow."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from segpipe.review.dossier import Fault, Shown, Source, Stratum
from segpipe.review.statistics import (
    Kappa,
    Rate,
    Scored,
    Weights,
    between_readers,
    rate,
    within_readers,
)
from segpipe.review.work.readings import Readings, Said, Signed

# 1 to 4 are in equal steps of work, so a disagreement counts by its size.
WEIGHTS: Weights = "linear"
STRATA: tuple[Stratum, ...] = ("random", "worst", "control")


@dataclass(frozen=True)
class Missing:
    """What the protocol asks for and nobody signed yet.

    Attributes:
        readings: Readings that are missing: of all items, of however many people.
        adjudications: Items on which readers disagree and nobody decided.
    """

    readings: int
    adjudications: int

    @property
    def nothing(self) -> bool:
        """Whether all is signed."""
        return not self.readings and not self.adjudications


@dataclass(frozen=True)
class Failure:
    """The lowest scores that count of the candidate in one case.

    Attributes:
        case: Name of the case.
        rank: Place of the case from the worst by its figures, which is 1.
        scores: Structure to its score; None if it cannot be judged.
        is_acceptable: Whether each score is; None if none was given.
    """

    case: str
    rank: int | None
    scores: Mapping[str, int | None]
    is_acceptable: bool | None


@dataclass(frozen=True)
class Caught:
    """Who found what was wrong with a control, and who did not.

    Attributes:
        fault: What was done to the mask.
        refused: Printed names of those who found it unacceptable.
        missed: Printed names of those who accepted it or could not judge it.
    """

    fault: Fault
    refused: Sequence[str]
    missed: Sequence[str]


@dataclass(frozen=True)
class Preference:
    """How often the candidate was rated above the champion, by random case.

    Attributes:
        candidate: Cases in which it was.
        champion: Cases in which the champion was.
        equal: Cases without a difference.
        rate: Share of the candidate among the cases with a difference.
    """

    candidate: int
    champion: int
    equal: int
    rate: Rate


@dataclass(frozen=True)
class Summary:
    """What the readings of a version say.

    Attributes:
        missing: What nobody signed yet.
        faults: Records that do not count, with the reason.
        unacceptable: Rate of cases that are not acceptable among the random ones that
            could be judged.
        random: The random cases.
        worst: The worst cases, the worst first; no rate is estimated from them. A case
            that was drawn at random as well is in both lists.
        scores: Mask and structure to how often each score counts among random cases;
            None: it cannot be judged.
        adjudicated: Cases that an adjudicator decided.
        people: Printed names of those who read, by the names of their keys.
        between: Agreement of two readers, by their names.
        within: Agreement of each reader with himself, by name.
        controls: Who found the bad masks.
        preference: Candidate against champion; None without a champion.
        seconds: Median time at work on a case; None without a reading.
    """

    missing: Missing
    faults: Sequence[str]
    unacceptable: Rate
    random: Sequence[Failure]
    worst: Sequence[Failure]
    scores: Mapping[tuple[Source, str], Counter[int | None]]
    adjudicated: int
    people: Mapping[str, str]
    between: Mapping[tuple[str, str], Kappa]
    within: Mapping[str, Kappa]
    controls: Sequence[Caught]
    preference: Preference | None
    seconds: float | None


def summarize(readings: Readings) -> Summary:
    """Say what the readings of a dossier amount to.

    Where an item was adjudicated, the adjudication counts in the place of its readings;
    else the lowest score of the readers does. Repeats and controls tell about the
    readers alone.
    """
    key, acceptable = readings.key, readings.protocol.rating.acceptable_from
    structures = [one.name for one in readings.volume.dossier.structures]
    strata = {
        name: [item for item in readings.items if key.items[item].belongs_to(name)]
        for name in STRATA
    }
    random, worst = (
        [
            _failure(readings.items[item], key.items[item], structures, acceptable)
            for item in strata[name]
            if readings.items[item].counted
        ]
        for name in STRATA[:2]
    )
    judged = [one.is_acceptable for one in random if one.is_acceptable is not None]
    signed = [one for said in readings.items.values() for one in said.readings]
    scored = list(_scored(readings))
    repeats = {i: one.repeats for i, one in key.items.items() if one.repeats}
    return Summary(
        missing=find_missing(readings),
        faults=readings.faults,
        unacceptable=rate(judged.count(False), len(judged)),
        random=sorted(random, key=lambda one: one.case),
        worst=sorted(worst, key=lambda one: (one.rank or 0, one.case)),
        scores=_count_scores([readings.items[i] for i in strata["random"]]),
        adjudicated=sum(
            said.adjudication is not None for said in readings.items.values()
        ),
        people={one.reader: one.printed_name for one in signed},
        between=between_readers(
            [one for one in scored if one.item not in repeats], weights=WEIGHTS
        ),
        within=within_readers(scored, repeats, weights=WEIGHTS),
        controls=[
            _caught(readings.items[item], key.items[item], acceptable)
            for item in strata["control"]
        ],
        preference=_preference([readings.items[i] for i in strata["random"]]),
        seconds=median([one.seconds for one in signed]) if signed else None,
    )


def lowest(signed: Iterable[Signed], source: Source, structure: str) -> int | None:
    """The lowest score of a structure; None if nobody could judge it."""
    scores = [one.scores.get((source, structure)) for one in signed]
    return min([score for score in scores if score is not None], default=None)


def _failure(
    said: Said, shown: Shown, structures: Sequence[str], acceptable: int
) -> Failure:
    scores = {one: lowest(said.counted, "candidate", one) for one in structures}
    known = [score for score in scores.values() if score is not None]
    return Failure(
        shown.case, shown.rank, scores, min(known) >= acceptable if known else None
    )


def _count_scores(
    items: Sequence[Said],
) -> dict[tuple[Source, str], Counter[int | None]]:
    counts: dict[tuple[Source, str], Counter[int | None]] = {}
    for said in items:
        for source, structure in {what for one in said.counted for what in one.scores}:
            score = lowest(said.counted, source, structure)
            counts.setdefault((source, structure), Counter())[score] += 1
    return counts


def _scored(readings: Readings) -> Iterable[Scored]:
    """Scores of readers, without controls and adjudications."""
    for item, said in readings.items.items():
        shown = readings.key.items[item]
        if shown.stratum == "control":
            continue
        for one in said.readings:
            for (source, structure), score in one.scores.items():
                if score is not None:
                    yield Scored(
                        reader=one.reader,
                        case=shown.case,
                        item=item,
                        what=f"{source} {structure}",
                        score=score,
                    )


def _caught(said: Said, shown: Shown, acceptable: int) -> Caught:
    """A reader refuses a control who finds all that is wrong in it not acceptable."""
    names: dict[bool, list[str]] = {True: [], False: []}
    for one in said.readings:
        scores = [one.scores.get(("candidate", name)) for name in shown.refused]
        refused = all(score is not None and score < acceptable for score in scores)
        names[refused].append(one.printed_name)
    assert shown.fault is not None
    return Caught(shown.fault, names[True], names[False])


def _preference(items: Sequence[Said]) -> Preference | None:
    """Compare by case the mean score of all structures that were judged in both."""
    leads = [lead for said in items if (lead := _lead(said)) is not None]
    if not leads:
        return None
    candidate = sum(lead > 0 for lead in leads)
    champion = sum(lead < 0 for lead in leads)
    return Preference(
        candidate,
        champion,
        leads.count(0),
        rate(candidate, candidate + champion),
    )


def _lead(said: Said) -> float | None:
    """By how much the candidate was rated above the champion; None: not compared."""
    differences = [
        score - other
        for one in said.counted
        for (source, structure), score in one.scores.items()
        if source == "candidate"
        and score is not None
        and (other := one.scores.get(("champion", structure))) is not None
    ]
    return fmean(differences) if differences else None


def find_missing(readings: Readings) -> Missing:
    """What the protocol asks for and nobody signed yet."""
    return Missing(
        readings=sum(_lacking(item, readings) for item in readings.items),
        adjudications=sum(map(readings.needs_adjudicator, readings.items)),
    )


def _lacking(item: str, readings: Readings) -> int:
    """Readings of an item that are missing; who has left need not come back.

    A repeat is of use only to readers who read the original, and a control is for all
    who read anything.
    """
    shown, have = readings.key.items[item], readings.items[item].readers
    active = {*readings.chain.roster.active}
    per_case = readings.protocol.readers.per_case
    if shown.stratum == "control":
        everybody = {one for said in readings.items.values() for one in said.readers}
        return len((everybody & active) - have) if everybody else per_case
    if shown.repeats:
        have |= readings.items[shown.repeats].readers - active
    return max(0, per_case - len(have))
