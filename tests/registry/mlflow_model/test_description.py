"""The page of a version is read by people: figures by structure, origin, standing."""

import pytest
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

from segpipe.registry.mlflow_model.description import (
    describe_origin,
    describe_standing,
    figures_table,
    with_standing,
)
from segpipe.registry.mlflow_model.provenance import Provenance

METRICS = {
    "structures/liver/dice_mean": 0.91234,
    "structures/liver/hd95_mm_mean": 3.5,
    "structures/left kidney/dice_mean": 0.8,
    "test/dice_mean": 0.85617,
    "test/hd95_mm_mean": 4.0,
    "test/pa": 0.99,
}
TABLE = """\
| structure | Dice | HD95 mm |
| --- | --- | --- |
| liver | 0.912 | 3.500 |
| left kidney | 0.800 | - |
| **mean** | 0.856 | 4.000 |

Pixel accuracy: 0.990"""


def test_figures_stand_by_structure_and_unknown_ones_are_left_out() -> None:
    assert figures_table(METRICS) == TABLE


def provenance(metrics: dict[str, float]) -> Provenance:
    return Provenance(
        format_version=1,
        model="unet3d",
        digest="d" * 64,
        patients=("p", "q"),
        data="a" * 32,
        lock=None,
        commit="c" * 40,
        dirty=True,
        metrics=metrics,
    )


def test_the_origin_names_data_code_and_the_page_of_the_report() -> None:
    text = describe_origin(
        provenance(METRICS), dataset="Liver", folds=2, experiment="1", run="r"
    )

    assert TABLE in text
    assert f"Data set: Liver, md5 `{'a' * 12}`" in text
    assert "on 2 patients, 2 folds; digest `dddddddddddd`" in text
    assert "commit `cccccccccccc`, with uncommitted changes" in text
    assert "(#/experiments/1/runs/r/artifacts)" in text


def test_the_standing_is_replaced_and_what_a_person_wrote_stays() -> None:
    tags = {
        "promoted.at": "2026-11-26T08:00:25+00:00",
        "promoted.by": "ann on host",
        "promoted.why": "finer vessels",
    }

    first = with_standing("", describe_standing(("candidate",), {}))
    edited = f"By hand.\n\n{first}"
    second = with_standing(edited, describe_standing(("champion",), tags))

    assert "It is the candidate." in first
    assert second.startswith("By hand.\n\n### Standing\n\n- It is the champion.")
    assert "Promoted 2026-11-26 08:00 UTC by ann on host: finer vessels" in second
    assert "candidate" not in second
    assert with_standing(first, describe_standing(("candidate",), {})) == first


LIMIT = SqlModelVersion.description.type.length  # PostgreSQL refuses more


@pytest.mark.parametrize("structures", [20, 117, 1000])
def test_a_description_fits_into_mlflows_database_and_says_where_the_rest_is(
    structures: int,
) -> None:
    """With structures without end and the reasons of a person who has much to say."""
    figures = dict(METRICS)
    for number in range(2, structures):
        figures[f"structures/vertebra number {number:04d}/dice_mean"] = 0.5
    sentence = "It follows the finer vessels better. "
    tags = {
        f"{act}.{key}": text
        for act in ("promoted", "rolled_back")
        for key, text in {
            "at": "2026-11-26T08:00:25+00:00",
            "by": "ann on host",
            "why": sentence * 300,
        }.items()
    }

    origin = describe_origin(
        provenance(figures), dataset="Spine", folds=5, experiment="1", run="r"
    )
    whole = with_standing(origin, describe_standing(("champion", "previous"), tags))

    assert len(whole) <= LIMIT == 5000
    rows = [line for line in whole.splitlines() if line.startswith("| ")]
    assert rows[-1] == "| **mean** | 0.856 | 4.000 |"
    shown = len(rows) - 3  # the header and the mean
    rest = f"The first {shown} of {structures} structures; the others: [all figures]"
    cut = f"{rest}(#/experiments/1/runs/r/model-metrics)." in whole
    assert cut == (structures > 100) == (shown < structures)
    assert whole.endswith(
        "better. It follows the finer vessels better. \N{HORIZONTAL ELLIPSIS} "
        "The whole reason: tag rolled_back.why."
    )


@pytest.mark.parametrize(
    ("written", "ends"),
    [(100, "- Promoted"), (4960, "- It is the champion."), (5000, "x"), (6000, "x")],
)
def test_what_a_person_wrote_is_never_cut_for_the_standing(
    written: int, ends: str
) -> None:
    text = with_standing("x" * written, "- It is the champion.\n- Promoted")

    assert text.startswith("x" * written)
    assert text.endswith(ends)
    assert len(text) <= max(LIMIT, written)
