"""Comparison: the result of the gate as a document, as lines and as Markdown."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from segpipe.project.documents import Document

ABSENT = "\N{EN DASH}"
SHOWN = 5  # worst cases and largest losses
Scores = tuple[float, float]  # of the candidate, of the champion


class Side(Document):
    """One of the two segmenters.

    Attributes:
        name: Name shown to people.
        digest: Digest of the segmenter.
    """

    name: str
    digest: str


class Rule(Document):
    """Rule by which the candidate is judged: docs/decisions/0012-the-gate.md.

    The defaults stand here only: `segpipe compare` and the flow retrain use them.

    Attributes:
        margin: Largest accepted loss of mean Dice, at the lower end of the interval.
        minimum_patients: With fewer patients, nothing is decided; several structures
            need more, since each of them is tested.
        structure_margin: Largest accepted loss of a structure's mean Dice, even if the
            loss is beyond chance.
        new_failures: How many structures of cases may fail that the champion got right.
        confidence: Confidence level of the intervals.
    """

    margin: float = Field(0.02, ge=0, le=1)
    minimum_patients: int = Field(6, ge=2)
    structure_margin: float = Field(0.01, ge=0, le=1)
    new_failures: int = Field(0, ge=0)
    confidence: Literal["95 %"] = "95 %"


class Pair(Document):
    """A structure of a case, as both segmented it.

    Attributes:
        case: Name of the case.
        structure: Name of the structure.
        candidate: Dice of the candidate; none if the structure is absent and was not
            found.
        champion: Dice of the champion, likewise.
        candidate_failed: Whether the candidate missed the structure altogether, or
            found it where it is absent.
        champion_failed: The same for the champion.
    """

    case: str
    structure: str
    candidate: float | None
    champion: float | None
    candidate_failed: bool
    champion_failed: bool

    @property
    def scores(self) -> Scores | None:
        """Both Dice; none if the structure is absent and neither found it.

        If only one of the two rightly found nothing, it gets 1 and the other 0:
        otherwise the pair, and with it the false finding, would not count.
        """
        if self.candidate is None and self.champion is None:
            return None
        return (
            1.0 if self.candidate is None else self.candidate,
            1.0 if self.champion is None else self.champion,
        )

    @property
    def difference(self) -> float:
        """Dice of candidate minus champion; NaN if there is nothing to compare."""
        return math.nan if self.scores is None else self.scores[0] - self.scores[1]

    @property
    def newly_fails(self) -> bool:
        """Whether only the candidate fails."""
        return self.candidate_failed and not self.champion_failed


class Estimate(Document):
    """Means over patients; none where too few patients can be compared.

    Attributes:
        patients: Number of patients with anything to compare.
        candidate: Mean Dice of the candidate.
        champion: Mean Dice of the champion over the same patients.
        difference: Candidate minus champion, mean over patients.
        low: Lower end of the difference's 95 % interval; those of several structures
            are corrected for their number.
        high: Upper end of this interval.
        visible: True difference that would be seen about 4 times in 5.
    """

    patients: int
    candidate: float | None
    champion: float | None
    difference: float | None
    low: float | None
    high: float | None
    visible: float | None = None  # older comparisons have none

    @property
    def interval(self) -> str:
        """The interval as text."""
        return f"{signed(self.low)} to {signed(self.high)}"


NOTHING = Estimate(
    patients=0, candidate=None, champion=None, difference=None, low=None, high=None
)


class Comparison(Document):
    """Result of a comparison; it names cases, so it stays in the project.

    Attributes:
        format_version: Version of this document's format.
        candidate: The newly trained segmenter.
        champion: The segmenter in use.
        rule: Rule by which the candidate was judged.
        accepted: Whether the candidate is not worse.
        reasons: Why it is not accepted, one sentence each; they name no case.
        doubts: Evidence that nothing vouches for, one sentence each.
        left_out: Test case to the reason why it was not compared.
        overall: Means over all structures.
        structures: Means by structure.
        pairs: Every structure of every case that was compared.
        pseudonyms: Case to the name that stands for it in the report and in Markdown.
    """

    format_version: Literal[1]
    candidate: Side
    champion: Side
    rule: Rule
    accepted: bool
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()  # older comparisons have none
    left_out: dict[str, str]
    overall: Estimate
    structures: dict[str, Estimate]
    pairs: tuple[Pair, ...]
    pseudonyms: dict[str, str]

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that were compared."""
        return tuple(dict.fromkeys(pair.case for pair in self.pairs))

    @property
    def worst(self) -> list[Pair]:
        """Pairs with the candidate's lowest Dice, the lowest first."""
        known = [pair for pair in self.pairs if pair.candidate is not None]
        return sorted(known, key=lambda pair: (pair.candidate, pair.case))[:SHOWN]

    @property
    def losses(self) -> list[Pair]:
        """Pairs where the candidate loses most against the champion."""
        lost = [pair for pair in self.pairs if pair.difference < 0]
        return sorted(lost, key=lambda pair: (pair.difference, pair.case))[:SHOWN]

    @property
    def new_failures(self) -> list[Pair]:
        """Pairs at which only the candidate fails."""
        return [pair for pair in self.pairs if pair.newly_fails]

    @property
    def mended(self) -> list[Pair]:
        """Pairs at which only the champion fails."""
        return [p for p in self.pairs if p.champion_failed and not p.candidate_failed]

    def lines(self) -> list[str]:
        """Lines for a terminal inside the project, with the names of cases."""
        shown = self._verdict()
        if self.pairs:
            shown += ["", *map(_plain, self._table())]
        for heading, pairs in self._lists().items():
            shown += ["", heading]
            shown += [f"  {pair.case}, {_describe(pair)}" for pair in pairs]
        return shown

    def markdown(self) -> str:
        """Markdown for the page of a server, with the pseudonyms of cases."""
        verdict, *rest = self._verdict()
        shown = [f"**{verdict}**", "", *(f"- {line}" for line in rest)]
        if self.pairs:
            first, *others = self._table()
            rule = ["---", *["---:"] * (len(first) - 1)]
            shown += ["", _row(first), _row(rule), *map(_row, others)]
        for heading, pairs in self._lists().items():
            shown += ["", f"**{heading}**", ""]
            shown += [
                f"- {_escaped(self.pseudonyms[pair.case])}, {_escaped(_describe(pair))}"
                for pair in pairs
            ]
        return "\n".join(shown) + "\n"

    def _verdict(self) -> list[str]:
        """The verdict, its reasons, and the cases that it is based on."""
        names = f"{self.candidate.name} against {self.champion.name}"
        verdict = "not worse: accepted" if self.accepted else "not accepted"
        lines = [f"{names}: {verdict}", *self.reasons, *self.doubts]
        if self.pairs:
            lines.append(
                f"{len(self.cases)} test cases of {self.overall.patients} patients "
                f"that neither trained on; {len(self.new_failures)} structures newly "
                f"fail, {len(self.mended)} no longer do"
            )
        if self.overall.visible is not None:
            lines.append(
                f"With {self.overall.patients} patients a difference of "
                f"{self.overall.visible:.3f} would be seen about 4 times in 5."
            )
        for why in dict.fromkeys(self.left_out.values()):
            count = list(self.left_out.values()).count(why)
            lines.append(f"{count} test cases left out: {why}")
        return lines

    def _table(self) -> list[list[str]]:
        columns = ["Mean Dice", "Patients", "Candidate", "Champion", "Difference"]
        return [
            [*columns, "95 % interval"],
            *(
                [
                    name,
                    str(found.patients),
                    _text(found.candidate),
                    _text(found.champion),
                    signed(found.difference),
                    found.interval,
                ]
                for name, found in {"all": self.overall, **self.structures}.items()
            ),
        ]

    def _lists(self) -> dict[str, list[Pair]]:
        """Pairs worth looking at, by heading; empty lists are left out."""
        lists = {
            "New failures": self.new_failures,
            "Largest losses": self.losses,
            "Worst of the candidate": self.worst,
        }
        return {heading: pairs for heading, pairs in lists.items() if pairs}


def _text(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """The value with its sign and three digits."""
    return ABSENT if value is None else f"{value:+.3f}"


def _describe(pair: Pair) -> str:
    """Structure, both Dice and their difference."""
    scores = f"{_text(pair.candidate)} against {_text(pair.champion)}"
    known = None if math.isnan(pair.difference) else pair.difference
    return f"{pair.structure}: {scores} ({signed(known)})"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _plain(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f"{first:12}" + "".join(f"  {cell:>16}" for cell in rest)
