"""The four ways give the same scores, in float64."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segpipe.networks.sliding import (
    dense_to_convolution,
    make_convolutional,
    mirror_borders,
    predict_directly,
    rarefy,
    shift_and_stitch,
    slide,
)

PATCH, STRIDE = 18, 4


@pytest.fixture
def classifier() -> nn.Sequential:
    """A classifier of patches of 18 pixels with two poolings and three dense layers."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 3 * 3, 7),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(7, 6),
        nn.ReLU(),
        nn.Linear(6, 3),
    )
    return layers.double().eval()


@pytest.fixture
def image() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 2, 27, 31, generator=generator, dtype=torch.float64)


def heat_map(classifier: nn.Sequential) -> nn.Sequential:
    return make_convolutional(classifier, (2, PATCH, PATCH))


def test_a_dense_layer_and_its_convolution_are_the_same() -> None:
    """To the last bits, and with as many parameters.

    Seeds: F1.
    """
    layer = nn.Linear(5 * 3 * 4, 6).double()
    volume = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    made = dense_to_convolution(layer, (5, 3, 4))

    assert torch.allclose(
        made(volume)[..., 0, 0], layer(volume.flatten(1)), rtol=0, atol=1e-14
    )
    counts = [sum(p.numel() for p in one.parameters()) for one in (layer, made)]
    assert counts[0] == counts[1]


@torch.inference_mode()
def test_a_convolutional_classifier_gives_a_patch_the_same_scores(
    classifier: nn.Sequential, image: Tensor
) -> None:
    """Seeds: F1."""
    patch = image[:, :, 4:22, 5:23]
    scores = heat_map(classifier)(patch)

    assert scores.shape == (2, 3, 1, 1)
    assert torch.allclose(scores[..., 0, 0], classifier(patch), rtol=0, atol=1e-14)


@torch.inference_mode()
def test_each_cell_of_the_heat_map_has_the_scores_of_its_patch(
    classifier: nn.Sequential, image: Tensor
) -> None:
    """Seeds: F2, T3."""
    found = heat_map(classifier)(image)

    assert found.shape == (2, 3, 3, 4)
    for row, column in itertools.product(range(3), range(4)):
        rows = slice(STRIDE * row, STRIDE * row + PATCH)
        columns = slice(STRIDE * column, STRIDE * column + PATCH)
        alone = classifier(image[:, :, rows, columns])
        assert torch.allclose(found[:, :, row, column], alone, rtol=0, atol=1e-14)


@torch.inference_mode()
def test_sliding_is_shift_and_stitch_is_a_trous(
    classifier: nn.Sequential, image: Tensor
) -> None:
    """Seeds: T3, F3, F4."""
    network = heat_map(classifier)
    slid = slide(classifier, image, PATCH)
    stitched = shift_and_stitch(network, image, patch=PATCH, stride=STRIDE)
    rarefied = rarefy(network)(image)

    assert slid.shape == (2, 3, 27 - PATCH + 1, 31 - PATCH + 1)
    assert torch.allclose(slid, stitched, rtol=0, atol=1e-15)
    assert torch.allclose(slid, rarefied, rtol=0, atol=1e-15)
    assert torch.equal(
        slid[:, :, ::STRIDE, ::STRIDE].argmax(1), network(image).argmax(1)
    )


@torch.inference_mode()
def test_a_strided_convolution_is_rarefied_as_a_pooling_is() -> None:
    """Stride 2 in a convolution, then 3 in a pooling.

    Seeds: F3, F4.
    """
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2), nn.MaxPool2d(3), nn.Conv2d(2, 2, 2)
    ).double()
    image = torch.randn(1, 1, 26, 29, dtype=torch.float64)
    patch = 3 + 2 * 2 + 6  # the field of the three layers, at steps of 1, 2 and 6

    stitched = shift_and_stitch(network, image, patch=patch, stride=6)
    assert torch.allclose(rarefy(network)(image), stitched, rtol=0, atol=1e-15)


@torch.inference_mode()
def test_a_padded_classifier_is_not_what_its_convolutions_give(image: Tensor) -> None:
    """Its patches end in zeros, the image does not.

    Seeds: F1.
    """
    torch.manual_seed(0)
    padded = nn.Sequential(
        nn.Conv2d(2, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 36, 2)
    ).double()
    network = make_convolutional(padded, (2, 6, 6))
    found = network(image)[:, :, 4, 4]

    assert not torch.allclose(found, padded(image[:, :, 4:10, 4:10]), atol=1e-3)


@pytest.mark.parametrize("patch", [5, 6])
def test_with_mirrored_borders_each_pixel_has_a_patch_around_it(patch: int) -> None:
    """Its pixel is at patch // 2: a classifier that returns it gives the image back.

    Seeds: T3.
    """
    image = torch.randn(2, 1, 7, 9, dtype=torch.float64)
    centre = patch // 2

    class Centre(nn.Module):
        def forward(self, patches: Tensor) -> Tensor:
            return patches[:, :, centre, centre]

    padded = mirror_borders(image, patch)
    assert torch.equal(slide(Centre(), padded, patch), image)
    assert torch.equal(padded[..., centre - 1, centre:-1][..., :7], image[..., 1, :7])


def test_a_direct_prediction_paints_each_label_over_the_stride() -> None:
    """Seeds: F2."""
    scores = torch.tensor([[[[0.0, 2], [1, 0]], [[1.0, 1], [0, 5]]]])
    labels = predict_directly(scores, 2)

    assert labels[0].tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]


def test_the_loss_of_a_whole_image_has_the_gradient_of_all_its_patches(
    classifier: nn.Sequential, image: Tensor
) -> None:
    """Long 2015, section 3.4: full-image training is a batch of all patches.

    Seeds: F8, F7.
    """
    network = heat_map(classifier)
    labels = torch.randint(3, (2, 3, 4))
    functional.cross_entropy(network(image), labels, reduction="sum").backward()
    whole = [weight.grad for weight in network.parameters()]
    classifier.zero_grad()
    for row, column in itertools.product(range(3), range(4)):
        rows = slice(STRIDE * row, STRIDE * row + PATCH)
        columns = slice(STRIDE * column, STRIDE * column + PATCH)
        scores = classifier(image[:, :, rows, columns])
        functional.cross_entropy(
            scores, labels[:, row, column], reduction="sum"
        ).backward()

    for weight, expected in zip(classifier.parameters(), whole, strict=True):
        assert weight.grad is not None
        assert expected is not None
        assert torch.allclose(
            weight.grad, expected.view(weight.shape), rtol=0, atol=1e-12
        )
