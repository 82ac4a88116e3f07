"""judge: decide by patient whether a candidate is not worse than the champion."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from segpipe.evaluation.differences import (
    Difference,
    by_patient,
    judge_differences,
    patients_needed,
)
from segpipe.registry.gate.comparison import (
    NOTHING,
    Comparison,
    Estimate,
    Pair,
    Rule,
    Side,
    signed,
)


def judge(
    pairs: Sequence[Pair],
    *,
    candidate: Side,
    champion: Side,
    rule: Rule,
    patients: dict[str, str],
    left_out: dict[str, str],
    pseudonyms: dict[str, str],
) -> Comparison:
    """Compare by patient, and decide whether the candidate is not worse.

    Args:
        pairs: Every structure of every case that both segmented.
        candidate: The newly trained segmenter.
        champion: The segmenter in use.
        rule: Rule by which the candidate is judged.
        patients: Case to patient.
        left_out: Test case to the reason why it is not among the pairs.
        pseudonyms: Case to the name that stands for it in Markdown.

    Source:
        Non-inferiority with a margin, both ends of a two-sided 95 % interval: Piaggio
        2012, doi:10.1001/jama.2012.87802. The interval: segpipe.evaluation.differences.
    """
    of_structure = defaultdict(list)
    for pair in pairs:
        of_structure[pair.structure].append(pair)
    (overall,) = estimate({"all": pairs}, patients).values()
    structures = estimate(of_structure, patients)
    reasons = _reasons(pairs, overall, structures, rule)
    return Comparison(
        format_version=1,
        candidate=candidate,
        champion=champion,
        rule=rule,
        accepted=not reasons,
        reasons=reasons,
        doubts=_doubts(overall, structures),
        left_out=left_out,
        overall=overall,
        structures=structures,
        pairs=tuple(pairs),
        pseudonyms={pair.case: pseudonyms[pair.case] for pair in pairs},
    )


def refuse(
    candidate: Side, champion: Side, rule: Rule, reasons: tuple[str, ...]
) -> Comparison:
    """Build the result of a comparison that could not be made, with the reasons."""
    return Comparison(
        format_version=1,
        candidate=candidate,
        champion=champion,
        rule=rule,
        accepted=False,
        reasons=reasons,
        left_out={},
        overall=NOTHING,
        structures={},
        pairs=(),
        pseudonyms={},
    )


def estimate(
    families: Mapping[str, Sequence[Pair]], patients: dict[str, str]
) -> dict[str, Estimate]:
    """Means over patients; a patient's figure is the mean over cases and structures.

    Cases of one patient are alike: counted one by one, they would feign certainty.

    Args:
        families: Name to its pairs, such as those of a structure. The intervals are
            corrected for the number of names.
        patients: Case to patient.
    """
    known = {
        name: [pair for pair in pairs if pair.scores is not None]
        for name, pairs in families.items()
    }
    whose = {name: [patients[pair.case] for pair in of] for name, of in known.items()}
    differences = {
        name: by_patient(np.array([pair.difference for pair in of]), whose[name])
        for name, of in known.items()
    }
    return {
        name: _estimate(found, known[name], whose[name])
        for name, found in judge_differences(differences).items()
    }


def _estimate(
    found: Difference, pairs: Sequence[Pair], patients: Sequence[str]
) -> Estimate:
    if not pairs:
        return NOTHING
    scores = np.array([pair.scores for pair in pairs])
    candidate, champion = (by_patient(one, patients).mean() for one in scores.T)
    bounded = math.isfinite(found.low)
    return Estimate(
        patients=found.patients,
        candidate=float(candidate),
        champion=float(champion),
        difference=found.mean,
        low=found.low if bounded else None,
        high=found.high if bounded else None,
        visible=None if math.isnan(found.visible) else found.visible,
    )


def _needed(overall: Estimate, structures: dict[str, Estimate]) -> int:
    """Fewest patients with which the loss of one of the structures can be seen.

    A structure of so few patients that it could not even be judged alone is not
    tested, so it asks for no correction.
    """
    least = min(patients_needed(1), overall.patients)
    return patients_needed(sum(of.patients >= least for of in structures.values()))


def _doubts(overall: Estimate, structures: dict[str, Estimate]) -> tuple[str, ...]:
    """Name the structures of too few patients to judge them, in a sentence."""
    needed = _needed(overall, structures)
    few = [
        f"{name} ({of.patients})"
        for name, of in structures.items()
        if of.patients < needed
    ]
    if not few or overall.patients < needed:  # then nothing is judged: a reason
        return ()
    return (
        f"Not judged singly, for which {needed} patients are needed: {', '.join(few)}.",
    )


def _reasons(
    pairs: Sequence[Pair],
    overall: Estimate,
    structures: dict[str, Estimate],
    rule: Rule,
) -> tuple[str, ...]:
    """Reasons why the candidate is not accepted; none if it is accepted."""
    reasons = []
    needed = max(rule.minimum_patients, _needed(overall, structures))
    if overall.patients < needed:
        several = f" for {len(structures)} structures" if len(structures) > 1 else ""
        reasons.append(
            f"Only {overall.patients} patients can be compared, too few to judge by: "
            f"at least {needed} are expected{several}."
        )
    if overall.candidate == 0:
        reasons.append("The candidate finds nothing: its mean Dice is 0.")
    if overall.low is not None and overall.low < -rule.margin:
        reasons.append(
            f"The mean Dice may have fallen by more than the margin of {rule.margin:g}:"
            f" it differs by {signed(overall.difference)}, {rule.confidence} interval "
            f"{overall.interval}, over {overall.patients} patients."
        )
    reasons += [
        f"{name} is worse beyond chance: its Dice differs by {signed(of.difference)}, "
        f"{rule.confidence} interval {of.interval}, over {of.patients} patients."
        for name, of in structures.items()
        if of.high is not None
        and of.difference is not None
        and of.high < 0
        and of.difference < -rule.structure_margin
    ]
    failures = [pair for pair in pairs if pair.newly_fails]
    if len(failures) > rule.new_failures:
        counts = [
            f"{name} {count}"
            for name in structures
            if (count := sum(pair.structure == name for pair in failures))
        ]
        invented = sum(pair.champion is None for pair in failures)
        reasons.append(
            f"The candidate fails where the champion does not: "
            f"{len(failures) - invented} structures of cases missed, {invented} found "
            f"that are absent ({', '.join(counts)}); {rule.new_failures} allowed."
        )
    return tuple(reasons)
