"""A classifier of patches over a whole image: four ways to the same scores.

`slide` cuts a patch around each pixel. `make_convolutional` turns the dense layers into
convolutions, which gives the score of every patch at the network's stride at once, the
heat map; `shift_and_stitch` and `rarefy` (à trous) give those in between as well. All
are equal where the classifier pads nothing: a padded one sees zeros at the borders of
its patch, which are not there in the image.
"""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

# Layers that see each pixel alone, whatever the holes around it.
PIXELWISE = (
    nn.ReLU,
    nn.PReLU,
    nn.Dropout,
    nn.BatchNorm2d,
    nn.Softmax,
    nn.Identity,
)


def mirror_borders(image: Float[Tensor, "B C i j"], patch: int) -> Tensor:
    """Mirror as much of the image outwards as gives each pixel a patch around it.

    A patch has its pixel at patch // 2 from its upper left corner.
    """
    before, after = patch // 2, patch - 1 - patch // 2
    return functional.pad(image, (before, after, before, after), mode="reflect")


def slide(
    classifier: nn.Module, image: Float[Tensor, "B C i j"], patch: int
) -> Float[Tensor, "B K oi oj"]:
    """Classify the patch at each place of an image, one after the other.

    Args:
        classifier: Takes patches (n C patch patch) and gives scores (n K).
        image: The image; see `mirror_borders` for a score of each of its pixels.
        patch: Pixels of a patch along each axis.

    Returns:
        Scores of the patches by the place of their upper left corner.

    Source:
        Ciresan 2012, NIPS 25, "Deep neural networks segment neuronal membranes in
        electron microscopy images", section 2.
    """
    windows = image.unfold(2, patch, 1).unfold(3, patch, 1)
    rows = windows.movedim(1, 3)  # B oi oj C patch patch
    lines = torch.split(rows.flatten(0, 1), 1)
    scores = [classifier(line.flatten(0, 1)) for line in lines]
    batch, height, width = rows.shape[:3]
    return torch.stack(scores).view(batch, height, width, -1).movedim(3, 1)


def dense_to_convolution(layer: nn.Linear, shape: tuple[int, int, int]) -> nn.Conv2d:
    """The convolution that computes what a dense layer does with a volume.

    Args:
        layer: The dense layer, whose inputs are the volume, channel by channel.
        shape: Channels, height and width of the volume; 1 and 1 after another layer.

    Source:
        Long 2015, arXiv:1411.4038, section 3.1.
    """
    channels, height, width = shape
    made = nn.Conv2d(
        channels,
        layer.out_features,
        (height, width),
        bias=layer.bias is not None,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        made.weight.copy_(layer.weight.view(made.weight.shape))
        if made.bias is not None:
            made.bias.copy_(layer.bias)
    return made


def make_convolutional(
    classifier: nn.Sequential, shape: tuple[int, int, int]
) -> nn.Sequential:
    """A classifier whose dense layers are convolutions, so that it takes any size.

    Args:
        classifier: Layers, with a Flatten before the first dense one.
        shape: Channels, height and width of a patch.

    Returns:
        A network that gives 1 x 1 scores for a patch, and for an image its heat map:
        scores of each patch whose corner is at a multiple of the stride. It shares the
        layers of the classifier that were convolutions.
    """
    layers: list[nn.Module] = []
    volume = torch.empty(1, *shape, device="meta")
    for layer in classifier:
        if isinstance(layer, nn.Flatten):
            continue
        if isinstance(layer, nn.Linear):
            channels, height, width = volume.shape[1:]
            layers.append(dense_to_convolution(layer, (channels, height, width)))
        else:
            layers.append(layer)
        volume = copy.deepcopy(layers[-1]).to("meta", torch.float32)(volume)
    return nn.Sequential(*layers)


def predict_directly(
    heat_map: Float[Tensor, "B K i j"], stride: int
) -> Int64[Tensor, "B oi oj"]:
    """The label of each cell of a heat map, painted over stride x stride pixels.

    The receptive fields of neighbouring cells overlap: a pixel gets the label of the
    cell whose field has the nearest centre. Pixel 0 is patch // 2 - stride // 2 of the
    image.
    """
    labels = heat_map.argmax(dim=1)
    rows = labels.repeat_interleave(stride, dim=1)
    return rows.repeat_interleave(stride, dim=2)


def shift_and_stitch(
    network: nn.Module, image: Float[Tensor, "B C i j"], *, patch: int, stride: int
) -> Float[Tensor, "B K oi oj"]:
    """Heat maps of the image shifted by each offset below the stride, interlaced.

    Args:
        network: Convolutional, without padding.
        image: The image, at least a patch and a stride large along each axis.
        patch: Size of the network's receptive field.
        stride: Stride of its heat map.

    Source:
        Long 2015, arXiv:1411.4038, section 3.2.
    """
    height, width = (size - patch + 1 for size in image.shape[2:])
    stitched: Tensor | None = None
    for row in range(stride):
        for column in range(stride):
            scores = network(image[:, :, row:, column:])
            if stitched is None:
                stitched = scores.new_empty(*scores.shape[:2], height, width)
            stitched[:, :, row::stride, column::stride] = scores
    assert stitched is not None  # the stride is 1 or more
    return stitched


def rarefy(network: nn.Sequential) -> nn.Sequential:
    """The network of stride 1 with the same weights: the algorithm à trous.

    A layer of stride s gets stride 1, and the kernels and pooling windows of all layers
    behind it get s - 1 holes between their elements.

    Args:
        network: Convolutions and max-poolings without padding, and layers that work
            pixel by pixel.

    Source:
        Long 2015, arXiv:1411.4038, section 3.2, "filter rarefaction".
    """
    layers: list[nn.Module] = []
    step = 1
    for layer in network:
        made: Any = copy.deepcopy(layer)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            assert _single(layer.padding) == 0
            made.stride = (1, 1) if isinstance(layer, nn.Conv2d) else 1
            holes = _single(layer.dilation) * step
            made.dilation = (holes, holes) if isinstance(layer, nn.Conv2d) else holes
            step *= _single(layer.stride)
        else:
            assert isinstance(layer, PIXELWISE), f"{layer} does not work pixel by pixel"
        layers.append(made)
    return nn.Sequential(*layers)


def _single(size: Any) -> int:
    """The value of both axes."""
    values = {size} if isinstance(size, int) else set(size)
    assert len(values) == 1
    return int(values.pop())
