"""The page of a version is read by people: figures by structure, origin, standing."""

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


def test_the_origin_names_data_code_and_the_page_of_the_report() -> None:
    made = Provenance(
        format_version=1,
        model="unet3d",
        digest="d" * 64,
        patients=("p", "q"),
        data="a" * 32,
        lock=None,
        commit="c" * 40,
        dirty=True,
        metrics=METRICS,
    )

    text = describe_origin(made, dataset="Liver", folds=2, experiment="1", run="r")

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
