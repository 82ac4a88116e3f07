"""Grey and colours against Pillow and the weights of Rec. 601."""

import numpy as np
import PIL.Image
import pytest

from segpipe.images.formats.colours import are_colours, luma, match_colours

RGB = ("red", "green", "blue")
RNG = np.random.default_rng(0)


def test_luma_is_what_pillow_converts_to() -> None:
    """Pillow counts in 16 bits: at most one grey value apart, at ties."""
    pixels = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = np.asarray(PIL.Image.fromarray(pixels).convert("L"))

    found = luma(pixels.transpose(2, 1, 0)[..., None].astype(np.float32))

    apart = np.abs(found[0, :, :, 0].T - expected)
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.99


def test_fractions_keep_their_luma_unrounded() -> None:
    pure = 0.5 * np.eye(3, dtype=np.float32)[:, :, None, None]

    np.testing.assert_allclose(luma(pure).ravel(), [0.1495, 0.2935, 0.057], rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (RGB, True),
        (("R", "G", "B"), True),
        (("Red", "Green", "Blue"), True),
        (("blue", "green", "red"), False),
        (("T1", "T2", "FLAIR"), False),
        (("red", "green"), False),
    ],
)
def test_colours_are_known_by_their_names(names, expected: bool) -> None:
    assert are_colours(names) is expected


def test_grey_becomes_colours_and_colours_become_grey() -> None:
    colours = RNG.random((3, 4, 5, 1)).astype(np.float32)
    grey = colours[:1]

    three, said = match_colours(grey, RGB)
    assert (three == grey).all()
    assert (len(three), said) == (3, "grey became three equal colours")
    one, said = match_colours(colours, ("intensity",))
    assert (one == luma(colours)).all()
    assert said == "colours became one grey channel by their luma (Rec. 601)"
    assert (match_colours(three, ("intensity",))[0] == grey).all()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (1, ("T1", "T2", "FLAIR")),  # three contrasts are no colours
        (1, ("intensity",)),
        (3, RGB),
        (4, RGB),
        (4, ("intensity",)),
        (2, RGB),
    ],
)
def test_all_else_stays_as_it_is(given: int, names: tuple[str, ...]) -> None:
    array = RNG.random((given, 4, 5, 1)).astype(np.float32)

    found, said = match_colours(array, names)

    assert found is array
    assert said is None
