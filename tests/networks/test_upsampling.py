"""The examples of the seeds, to the last digit, and the identities between the ways."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segpipe.networks.layers import UpsamplingName
from segpipe.networks.upsampling import (
    UPSAMPLINGS,
    LearnedBilinear,
    PredictionUpsampling,
    Switches,
    Upsampling,
    bed_of_nails,
    bilinear,
    bilinear_filter,
    max_pool,
    max_unpool,
    nearest,
)

A = [[3.0, 5.0], [7.0, 9.0]]
NAILS = [[3, 0, 5, 0], [0, 0, 0, 0], [7, 0, 9, 0], [0, 0, 0, 0]]
B = [[3.0, 1.0], [2.0, 0.0]]
POOLED = [[1.0, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]


def features(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def transposed(rows: list[list[float]], *, stride: int, padding: int) -> Tensor:
    """The seeds' layer: one channel, no bias, the kernel [[1, 2], [3, 4]]."""
    layer = nn.ConvTranspose2d(1, 1, 2, stride=stride, padding=padding, bias=False)
    layer.weight.data = features([[1, 2], [3, 4]])
    found: Tensor = layer(features(rows)).detach()
    return found


def test_nearest_copies_each_value() -> None:
    """Which the seeds also call average unpooling.

    Seeds: U1.
    """
    found = nearest(features(A), 2)[0, 0].tolist()

    assert found == [[3, 3, 5, 5], [3, 3, 5, 5], [7, 7, 9, 9], [7, 7, 9, 9]]


def test_a_bed_of_nails_has_the_values_in_its_corners() -> None:
    """Seeds: U2."""
    assert bed_of_nails(features(A), 2)[0, 0].tolist() == NAILS
    sums = bed_of_nails(random(2, 3, 4, 5), 3).sum(), random(2, 3, 4, 5).sum()
    assert torch.isclose(*sums)


def test_max_unpooling_by_the_switches_of_the_seeds_is_the_bed_of_nails() -> None:
    """Seeds: U3."""
    places = torch.tensor([[0, 2], [8, 10]])[None, None]

    assert max_unpool(features(A), Switches(places, (4, 4)))[0, 0].tolist() == NAILS


def test_max_pooling_remembers_where_its_maxima_stood() -> None:
    """Seeds: U3, X2."""
    pooled, switches = max_pool(features(POOLED))
    found = max_unpool(features([[1, 2], [3, 4]]), switches)[0, 0].tolist()

    assert pooled[0, 0].tolist() == [[5, 6], [7, 8]]
    assert switches.places[0, 0].tolist() == [[5, 2], [12, 15]]
    assert switches.size == (4, 4)
    assert found == [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]


def test_average_pooling_is_the_mean_of_each_window() -> None:
    """Seeds: X2."""
    pooled = functional.avg_pool2d(features(POOLED), 2)

    assert pooled[0, 0].tolist() == [[2.75, 3.0], [3.25, 3.75]]


@pytest.fixture
def any_algorithm() -> Iterator[None]:
    """Let torch use what is not deterministic, which stages forbid in this process."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=False)
    yield
    torch.use_deterministic_algorithms(mode=before)


@pytest.mark.usefixtures("any_algorithm")
@pytest.mark.parametrize("size", [(8, 6), (9, 7), (5, 8)])
@pytest.mark.parametrize("kernel", [2, 3])
def test_max_unpooling_is_that_of_torch(size: tuple[int, int], kernel: int) -> None:
    """With sizes that are no multiple of the window, where a size must be told.

    Seeds: U3.
    """
    pooled, switches = max_pool(random(2, 3, *size), kernel)
    values = random(*pooled.shape)
    expected = functional.max_unpool2d(
        values, switches.places, kernel, output_size=list(size)
    )

    assert torch.equal(max_unpool(values, switches), expected)


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_what_was_unpooled_gives_it_back(ceil: bool) -> None:
    """Maxima above 0, which is what unpooling writes elsewhere.

    Seeds: U3.
    """
    image = random(2, 3, 9, 6).abs() + 0.1
    pooled, switches = max_pool(image, ceil=ceil)
    unpooled = max_unpool(pooled, switches)

    assert torch.equal(max_pool(unpooled, ceil=ceil)[0], pooled)
    assert torch.equal(unpooled[unpooled != 0], image[unpooled != 0])
    assert (unpooled != 0).sum() == pooled.numel()


def test_bilinear_interpolates_between_the_centres_of_pixels() -> None:
    """Seeds: U4."""
    assert bilinear(features([[1, 2], [3, 4]]), 2)[0, 0].tolist() == [
        [1, 1.25, 1.75, 2],
        [1.5, 1.75, 2.25, 2.5],
        [2.5, 2.75, 3.25, 3.5],
        [3, 3.25, 3.75, 4],
    ]


@pytest.mark.parametrize(
    ("stride", "padding", "expected"),
    [
        (1, 0, [[3, 7, 2], [11, 19, 4], [6, 8, 0]]),
        (2, 0, [[3, 6, 1, 2], [9, 12, 3, 4], [2, 4, 0, 0], [6, 8, 0, 0]]),
        (1, 1, [[19]]),
    ],
    ids=["plain", "strided", "padded"],
)
def test_transposed_convolutions_give_the_results_of_the_seeds(
    stride: int, padding: int, expected: list[list[int]]
) -> None:
    """Seeds: U5."""
    assert transposed(B, stride=stride, padding=padding)[0, 0].tolist() == expected


def test_what_overlaps_in_a_transposed_convolution_is_added() -> None:
    """Seeds: U5."""
    ones = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3)
    row = [1, 1, 2, 1, 1]

    found = functional.conv_transpose2d(*ones, stride=2)[0, 0].tolist()
    assert found == [row, row, [2, 2, 4, 2, 2], row, row]


def test_a_transposed_convolution_multiplies_by_the_transposed_matrix() -> None:
    """The kernel (x, y, z) at stride 2 and padding 1; the seed prints it as (x, y, x).

    Seeds: U5.
    """
    x, y, z = 2.0, 3.0, 5.0
    matrix = torch.tensor([[x, y, z, 0, 0, 0], [0, 0, x, y, z, 0]])
    kernel = torch.tensor([[[x, y, z]]])
    image, scores = torch.tensor([1.0, 10, 100, 1000]), torch.tensor([1.0, 10.0])
    convolved = functional.conv1d(image[None, None], kernel, stride=2, padding=1)
    back = functional.conv_transpose1d(
        scores[None, None], kernel, stride=2, output_padding=1
    )

    padded = functional.pad(image, (1, 1))
    assert convolved.flatten().tolist() == (matrix @ padded).tolist() == [53, 5320]
    assert back.flatten().tolist() == (matrix.T @ scores).tolist()
    assert back.flatten().tolist() == [2, 3, 25, 30, 50, 0]
    cropped = functional.conv_transpose1d(
        scores[None, None], kernel, stride=2, padding=1, output_padding=1
    )
    assert cropped.flatten().tolist() == [3, 25, 30, 50]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (4, 2, 1)])
def test_a_transposed_convolution_is_the_adjoint_and_not_the_inverse(
    kernel: int, stride: int, padding: int
) -> None:
    """<conv(x), y> = <x, transposed(y)>.

    Seeds: U5.
    """
    ways = {"stride": stride, "padding": padding}
    image, weight = random(1, 3, 8, 8), random(5, 3, kernel, kernel)
    convolved = functional.conv2d(image, weight, **ways)
    other = random(*convolved.shape)
    back = functional.conv_transpose2d(other, weight, **ways)

    assert (convolved * other).sum().item() == pytest.approx((image * back).sum())
    assert not torch.allclose(
        functional.conv_transpose2d(convolved, weight, **ways), image
    )


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (5, 3)])
def test_a_transposed_convolution_is_a_bed_of_nails_and_a_convolution(
    kernel: int, stride: int
) -> None:
    """With the kernel turned by 180 degrees, which the seed does not say.

    Seeds: U2, U5.
    """
    image, weight = random(1, 3, 4, 5), random(3, 2, kernel, kernel)
    before, after = kernel - 1, kernel - stride
    nails = functional.pad(bed_of_nails(image, stride), (before, after, before, after))
    turned = weight.flip(2, 3).transpose(0, 1)

    expected = functional.conv_transpose2d(image, weight, stride=stride)
    assert torch.allclose(
        functional.conv2d(nails, turned), expected, rtol=0, atol=1e-12
    )


def test_the_bilinear_filter_of_factor_2_is_that_of_the_authors() -> None:
    """Seeds: U6."""
    expected = [[1, 3, 3, 1], [3, 9, 9, 3], [3, 9, 9, 3], [1, 3, 3, 1]]

    assert (16 * bilinear_filter(2)).tolist() == expected
    third = [[1, 2, 3, 2, 1][n] / 3 for n in range(5)]
    found = bilinear_filter(3)[2].tolist()
    assert found == pytest.approx(third)


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("layer", [LearnedBilinear, PredictionUpsampling])
def test_inside_a_transposed_convolution_interpolates_as_bilinear_does(
    layer: type[LearnedBilinear | PredictionUpsampling], factor: int
) -> None:
    """Half a factor from the border, beyond which the convolution sees zeros.

    Seeds: U6, U7.
    """
    scores = random(2, 2, 5, 4)
    found = layer(2, factor).double()(scores)
    expected = bilinear(scores, factor)
    inside = (..., *(slice(factor // 2, n - factor // 2) for n in found.shape[2:]))

    assert found.shape == expected.shape
    assert torch.allclose(found[inside], expected[inside], atol=1e-6)
    assert not torch.allclose(found, expected, atol=1e-2)


def test_up_sampling_by_2_and_then_by_16_is_not_up_sampling_by_32() -> None:
    """Seeds: U7."""
    scores = random(1, 1, 6, 6)
    once, first, then = (PredictionUpsampling(1, f).double() for f in (32, 2, 16))
    twice = then(first(scores))

    assert (twice - once(scores))[..., 64:-64, 64:-64].abs().max() > 1e-2


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_any_up_sampling_takes_the_features_back_to_the_size_before_the_pooling(
    name: UpsamplingName,
) -> None:
    """Seeds: U1, U2, U3, U4, U5, U6."""
    image = random(2, 3, 8, 6)
    pooled, switches = max_pool(image)
    layer = Upsampling(name, 3).double()
    pooled.requires_grad_()
    up = layer(pooled, switches)
    up.square().sum().backward()

    assert up.shape == image.shape
    assert pooled.grad is not None
    assert pooled.grad.any()
    learned = {"transposed", "learned_bilinear"}
    assert bool(list(layer.parameters())) == (name in learned)
    for weight in layer.parameters():
        assert weight.grad is not None
        assert weight.grad.any()
