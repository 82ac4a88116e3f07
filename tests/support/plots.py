"""Curves, scores and views to plot, and the pixels of a plot."""

import io

import numpy as np
from PIL import Image

from segpipe.evaluation.report.pictures.overlays import View
from segpipe.evaluation.report.plots import Curve

CURVE = Curve(
    "vnet",
    0,
    np.array([1.0, 2.0, 3.0]),
    np.array([1.0, 0.5, 0.3]),
    np.array([np.nan, 0.6, 0.7]),
    {"liver": np.array([np.nan, 0.8, 0.9]), "spleen": np.array([np.nan, 0.4, 0.5])},
)
SCORES = {"liver": {"a": np.array([0.5, 0.9, np.nan]), "b": np.array([0.7, 0.8, 0.1])}}


def make_view(reference: np.ndarray, prediction: np.ndarray) -> View:
    """One plane, of a model a."""
    image = np.linspace(0, 1, reference.size).reshape(reference.shape)
    return View("axial", image, reference, {"a": prediction}, 2.0)


def pixels(png: bytes) -> np.ndarray:
    """The colours of a PNG."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
