"""Plots show what they are given, in the same bytes each time."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from segpipe.evaluation.overlays import View, draw_view, plot_overlay
from segpipe.evaluation.plots import (
    Curve,
    draw_cases,
    draw_dice,
    draw_pairs,
    plot_cases,
    plot_curves,
    plot_pairs,
)
from segpipe.evaluation.summary import plot_summary

CURVE = Curve(
    "vnet",
    0,
    np.array([1.0, 2.0, 3.0]),
    np.array([1.0, 0.5, 0.3]),
    np.array([np.nan, 0.6, 0.7]),
    {"liver": np.array([np.nan, 0.8, 0.9]), "spleen": np.array([np.nan, 0.4, 0.5])},
)
SCORES = {"liver": {"a": np.array([0.5, 0.9, np.nan]), "b": np.array([0.7, 0.8, 0.1])}}


def view(reference: np.ndarray, prediction: np.ndarray) -> View:
    image = np.linspace(0, 1, reference.size).reshape(reference.shape)
    return View("axial", image, reference, {"a": prediction}, 2.0)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_curve_skips_epochs_without_a_validation() -> None:
    axes = Figure().subplots()
    draw_dice(axes, [CURVE])

    (line,) = axes.lines
    assert line.get_xdata().tolist() == [2, 3]
    assert line.get_ydata().tolist() == [0.6, 0.7]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["vnet"]


def test_a_structure_has_its_own_curve() -> None:
    axes = Figure().subplots()
    draw_dice(axes, [CURVE], structure="spleen")

    assert axes.lines[0].get_ydata().tolist() == [0.4, 0.5]
    assert axes.get_title() == "Validation Dice, spleen"


def test_the_bar_of_a_model_is_the_median_of_its_known_cases() -> None:
    axes = Figure().subplots()
    draw_cases(axes, "liver", SCORES["liver"])

    assert [text.get_text() for text in axes.texts] == ["0.70", "0.70"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]


def test_a_right_prediction_is_coloured_and_outlined_as_the_reference() -> None:
    reference = np.zeros((8, 8), dtype=np.int32)
    reference[2:6, 2:6] = 1
    row = Figure().subplots(1, 3)
    draw_view(list(row), view(reference, reference))

    drawn, predicted = (axes.images[1].get_array() for axes in row[1:])
    outline = row[2].images[2].get_array()
    assert (drawn[..., 3] > 0).tolist() == (reference > 0).tolist()
    assert np.array_equal(drawn, predicted)
    inside = outline[..., 3].reshape(8, 30, 8, 30).any(axis=(1, 3))
    assert not inside[reference == 0].any()
    assert inside[2, 2]
    assert not inside[3, 3]


@pytest.mark.parametrize(
    "views", [[], [view(np.eye(9, dtype=int), np.eye(9, dtype=int))]]
)
def test_the_same_content_gives_the_same_bytes(views: list[View]) -> None:
    def draw() -> list[bytes]:
        summary = plot_summary("all", curves=[CURVE], scores=SCORES, views=views)
        overlays = [plot_overlay("a case", views, {"liver": 1})] if views else []
        return [plot_curves([CURVE]), plot_cases(SCORES), summary, *overlays]

    first, second = draw(), draw()

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
