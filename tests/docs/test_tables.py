"""The pages made by code are those in docs/, and their numbers are those of papers."""

import pytest

from docs.tables.__main__ import build
from docs.tables.fields import narrow, receptive_field
from docs.tables.systems import SYSTEMS
from segpipe.networks.arithmetic import Window
from segpipe.networks.arithmetic import receptive_field as by_arithmetic
from segpipe.networks.catalogue import NETWORKS
from tests.support.places import ROOT


@pytest.mark.slow
def test_the_pages_say_what_the_code_says() -> None:
    """`python -m docs.tables` renews them."""
    for name, text in build().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


def test_every_network_is_described() -> None:
    foreign = {name for name in NETWORKS if name.startswith("monai/")}

    assert SYSTEMS.keys() == NETWORKS.keys() - foreign
    assert all(NETWORKS[name].__doc__ for name in foreign)


@pytest.mark.parametrize(
    ("name", "field"),
    [("convolutions", 17), ("twopath", 33), ("inputcascade", 65)],
)
def test_measured_fields_are_those_of_the_papers(name: str, field: int) -> None:
    """At stride 1: one and two a layer, and patches of Havaei 2017, section 3."""
    assert receptive_field(narrow(name)) == field


def test_a_measured_field_is_that_of_arithmetic() -> None:
    """VGG16's front end by dilations, and bilinear interpolation between two outputs.

    Each output of the front end sees 372 + 8 - 7 pixels; interpolation by 8 adds 8.
    """
    stages = [[Window(3)] * n for n in (2, 2, 3)]
    front = (
        [window for stage in stages for window in (*stage, Window(2, 2))]
        + [Window(3)] * 3
        + [Window(3, dilation=2)] * 3
        + [Window(7, dilation=4)]
    )
    seen, step = by_arithmetic(front)

    assert receptive_field(narrow("dilated")) == seen + step
