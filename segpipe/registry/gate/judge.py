"""judge: decide by patient whether a candidate is not worse than the champion."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from segpipe.evaluation.scores import mean_interval, mean_known
from segpipe.registry.gate.comparison import (
    NOTHING,
    Comparison,
    Estimate,
    Pair,
    Rule,
    Scores,
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
        2012, doi:10.1001/jama.2012.87802. Bootstrap: Efron 1979,
        doi:10.1214/aos/1176344552.
    """
    overall = estimate(pairs, patients)
    of_structure = defaultdict(list)
    for pair in pairs:
        of_structure[pair.structure].append(pair)
    structures = {name: estimate(of, patients) for name, of in of_structure.items()}
    reasons = _reasons(pairs, overall, structures, rule)
    return Comparison(
        format_version=1,
        candidate=candidate,
        champion=champion,
        rule=rule,
        accepted=not reasons,
        reasons=reasons,
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


def estimate(pairs: Sequence[Pair], patients: dict[str, str]) -> Estimate:
    """Means over patients; a patient's figure is the mean over cases and structures.

    Cases of one patient are alike: counted one by one, they would feign certainty.

    Args:
        pairs: Pairs of one structure or of several.
        patients: Case to patient.
    """
    of_patient: dict[str, list[Scores]] = defaultdict(list)
    for pair in pairs:
        if pair.scores is not None:
            of_patient[patients[pair.case]].append(pair.scores)
    if not of_patient:
        return NOTHING
    means = np.array([np.mean(scores, axis=0) for scores in of_patient.values()])
    differences = means[:, 0] - means[:, 1]
    known = len(differences) > 1
    low, high = mean_interval(differences) if known else (None, None)
    return Estimate(
        patients=len(means),
        candidate=float(means[:, 0].mean()),
        champion=float(means[:, 1].mean()),
        difference=mean_known(differences.tolist()),
        low=low,
        high=high,
    )


def _reasons(
    pairs: Sequence[Pair],
    overall: Estimate,
    structures: dict[str, Estimate],
    rule: Rule,
) -> tuple[str, ...]:
    """Reasons why the candidate is not accepted; none if it is accepted."""
    reasons = []
    if overall.patients < rule.minimum_patients:
        reasons.append(
            f"Only {overall.patients} patients can be compared, too few to judge by: "
            f"at least {rule.minimum_patients} are expected."
        )
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
