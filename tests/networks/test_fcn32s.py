"""FCN-32s: its parameters and the sizes on its way."""

import pytest
import torch

from segpipe.networks.fcn import CONTEXT
from segpipe.networks.fcn32s import FCN32s


@pytest.fixture(scope="module")
def release() -> FCN32s:
    """The network of 21 classes, as wide as VGG16, without memory."""
    with torch.device("meta"):
        return FCN32s(3, 21)


def test_the_network_of_21_classes_has_134_346_581_parameters(release: FCN32s) -> None:
    """VGG16's convolutions have 14,714,688 of them, and the up-sampling has none.

    Seeds: F5.
    """
    assert sum(weight.numel() for weight in release.parameters()) == 134_346_581
    stages = sum(weight.numel() for weight in release.stages.parameters())
    assert stages == 14_714_688


@pytest.mark.parametrize(
    ("size", "scores", "enlarged"), [(224, 8, 288), (500, 16, 544)]
)
def test_the_sizes_on_the_way_are_those_of_the_release(
    release: FCN32s, size: int, scores: int, enlarged: int
) -> None:
    """For an image inside 100 pixels, which the release pads.

    Seeds: F5, U7.
    """
    with torch.device("meta"):
        features = torch.empty(1, 3, size + 2 * CONTEXT, size + 2 * CONTEXT)
        for stage in release.stages:
            features = release.pool(stage(features))
        found = release.score(release.dense(features))

    assert found.shape == (1, 21, scores, scores)
    assert release.enlarge(found).shape == (1, 21, enlarged, enlarged)
