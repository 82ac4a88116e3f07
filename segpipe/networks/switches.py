"""What the networks share that hand the switches of their poolings to their decoder."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segpipe.networks.layers import initialize
from segpipe.networks.upsampling import Switches, max_pool, max_unpool

# Channels of VGG16's stages, by those of the first; each layer is a 3 x 3 convolution.
ENCODER = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


class RunningNorm(nn.BatchNorm2d):
    """Batch normalization, in training by the batch and in use by what it saw there.

    A batch with one value a channel has no variance. There the values that were seen
    before count in training, too, where torch's layer is an error.
    """

    def forward(self, features: Float[Tensor, "B C i j"]) -> Tensor:
        """Normalize, scale and shift each channel."""
        alone = features.numel() == features.shape[1]
        if not (self.training and alone):
            return super().forward(features)
        return F.batch_norm(
            features,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            eps=self.eps,
        )


class SwitchedNetwork(nn.Module):
    """A VGG16 encoder, what lies between, and a decoder that mirrors the encoder.

    Args:
        encoder: The stages of the encoder; a 2 x 2 max-pooling follows each.
        middle: What the smallest features go through, at the size that they have.
        decoder: The stages of the decoder; before each, the pooling of its size is
            undone.
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        middle: nn.Module,
        decoder: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.middle = middle
        self.decoder = nn.ModuleList(decoder)
        initialize(self)

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K i j"]:
        """Logits of each class."""
        features, poolings = image, list[Switches]()
        for stage in self.encoder:
            features, switches = max_pool(stage(features))
            poolings.append(switches)
        features = self.middle(features)
        for stage in self.decoder:
            features = stage(max_unpool(features, poolings.pop()))
        return torch.as_tensor(features)


def stage(
    before: int, widths: Sequence[int], *, transposed: bool = False
) -> nn.Sequential:
    """Padded 3 x 3 convolutions, each with batch normalization and ReLU."""
    layers: list[nn.Module] = []
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    for after in widths:
        layers += normalized(kind(before, after, 3, padding=1))
        before = after
    return nn.Sequential(*layers)


def normalized(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """A convolution, batch normalization and ReLU."""
    norm = RunningNorm(convolution.out_channels)
    return [convolution, norm, nn.ReLU(inplace=True)]


def vgg_encoder(in_channels: int, base_channels: int) -> list[nn.Sequential]:
    """The convolutions of VGG16 in five stages, with batch normalization."""
    stages = []
    for factors in ENCODER:
        widths = [factor * base_channels for factor in factors]
        stages.append(stage(in_channels, widths))
        in_channels = widths[-1]
    return stages
