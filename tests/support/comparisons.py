"""Comparisons of a candidate with the champion, judged from Dice that tests give."""

from typing import Any

from segpipe.registry.gate.comparison import Comparison, Pair, Rule, Side
from segpipe.registry.gate.judge import judge

CANDIDATE, CHAMPION = Side(name="new", digest="1"), Side(name="old", digest="2")
RULE = Rule(margin=0.02, minimum_patients=3, structure_margin=0.0, new_failures=0)


def pair(
    case: str,
    candidate: float | None,
    champion: float | None,
    *,
    structure: str = "liver",
) -> Pair:
    return Pair(
        case=case,
        structure=structure,
        candidate=candidate,
        champion=champion,
        candidate_failed=candidate == 0,
        champion_failed=champion == 0,
    )


def compared(pairs: list[Pair], rule: Rule = RULE, **values: Any) -> Comparison:
    """Every case is a patient's only one, unless said otherwise."""
    own = {one.case: one.case for one in pairs}
    arguments = {
        "patients": own,
        "left_out": {},
        "pseudonyms": {name: f"case {n}" for n, name in enumerate(own, 1)},
        **values,
    }
    return judge(pairs, candidate=CANDIDATE, champion=CHAMPION, rule=rule, **arguments)


def shifted(differences: list[float], structure: str = "liver") -> list[Pair]:
    return [
        pair(f"p{n}", 0.8 + d, 0.8, structure=structure)
        for n, d in enumerate(differences)
    ]
