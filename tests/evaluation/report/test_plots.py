"""Plots show what they are given, in the same bytes each time."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from segpipe.evaluation.report.plots import (
    draw_cases,
    draw_pairs,
    draw_validation,
    plot_cases,
    plot_curves,
    plot_pairs,
)
from tests.support.plots import CURVE, SCORES, pixels


def test_a_curve_skips_epochs_without_a_validation() -> None:
    axes = Figure().subplots()
    draw_validation(axes, [CURVE])

    (line,) = axes.lines
    assert line.get_xdata().tolist() == [2, 3]
    assert line.get_ydata().tolist() == [0.6, 0.7]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["vnet"]


def test_a_structure_has_its_own_curve() -> None:
    axes = Figure().subplots()
    draw_validation(axes, [CURVE], "Dice, spleen")

    assert axes.lines[0].get_ydata().tolist() == [0.4, 0.5]
    assert axes.get_title() == "Validation Dice, spleen"


def test_the_bar_of_a_model_is_the_median_of_its_known_cases() -> None:
    axes = Figure().subplots()
    draw_cases(axes, "liver", SCORES["liver"])

    assert [text.get_text() for text in axes.texts] == ["0.70", "0.70"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]


def test_the_same_content_gives_the_same_bytes() -> None:
    first, second = (
        [plot_curves([CURVE]), plot_cases(SCORES)],
        [plot_curves([CURVE]), plot_cases(SCORES)],
    )

    assert first == second
    assert all(pixels(png).std() > 10 for png in first)


def test_a_loss_lies_below_the_line_and_is_named() -> None:
    axes = Figure().subplots()
    scores = {
        "case 1, liver": ("liver", 0.9, 0.3),
        "case 2, liver": ("liver", 0.5, 0.8),
        "case 1, spleen": ("spleen", 0.7, 0.69),
    }
    draw_pairs(axes, scores, ("old", "new"))

    liver, spleen = axes.collections
    assert liver.get_offsets().tolist() == [[0.9, 0.3], [0.5, 0.8]]
    assert spleen.get_offsets().tolist() == [[0.7, 0.69]]
    assert [text.get_text() for text in axes.texts] == ["case 1, liver"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("old", "new")
    assert plot_pairs(scores, ("old", "new")) == plot_pairs(scores, ("old", "new"))


@pytest.mark.parametrize(
    ("structures", "models", "inches"),
    [(1, 1, (3.2, 3.8)), (1, 5, (4.8, 3.8)), (3, 2, (8.0, 3.8)), (8, 3, (10.4, 7.6))],
)
def test_a_plot_is_as_wide_as_its_structures_and_models_need(
    structures: int, models: int, inches: tuple[float, float]
) -> None:
    of_models = {f"model {n}": np.array([0.5, 0.75]) for n in range(models)}
    png = plot_cases({f"structure {n}": of_models for n in range(structures)})

    height, width, _ = pixels(png).shape
    assert (width / 110, height / 110) == pytest.approx(inches, abs=0.02)


MANY = [f"network {n:02}" for n in range(15)]


def test_many_models_differ_in_colour_or_mark_and_are_named_beside_the_panel() -> None:
    axes = Figure().subplots()
    draw_validation(axes, [replace(CURVE, model=name) for name in MANY])

    looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
    legend = axes.get_legend()
    assert len(looks) == len(MANY)
    assert [text.get_text() for text in legend.get_texts()] == MANY
    assert legend.get_bbox_to_anchor().x0 >= axes.bbox.x1


def test_names_that_would_overlap_stand_upright_and_the_plot_grows() -> None:
    """Fifteen names of ten letters need 12.75 inches side by side."""
    few, many = (Figure(figsize=(6, 4)).subplots() for _ in range(2))
    values = np.array([0.5, 0.75])
    draw_cases(few, "liver", dict.fromkeys(MANY[:2], values))
    draw_cases(many, "liver", dict.fromkeys(MANY, values))

    assert {tick.get_rotation() for tick in few.get_xticklabels()} == {0}
    assert {tick.get_rotation() for tick in many.get_xticklabels()} == {90}
    height, width, _ = pixels(plot_cases({"liver": dict.fromkeys(MANY, values)})).shape
    assert (width / 110, height / 110) == pytest.approx((10.8, 4.65), abs=0.02)


def test_a_single_validated_epoch_has_its_whole_number_below() -> None:
    axes = Figure().subplots()
    draw_validation(
        axes, [replace(CURVE, validation_dice=np.array([np.nan, 0.5, np.nan]))]
    )

    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [2]
