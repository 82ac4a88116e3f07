"""Fully convolutional networks on VGG16: Long 2015, arXiv:1411.4038."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Padding, SizeRule, initialize
from segpipe.networks.upsampling import LearnedBilinear, PredictionUpsampling

CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG16, a stage
CONTEXT = 100  # pixels of padding in conv1_1
CROPS = (5, 9)  # of the scores of pool4 and pool3
LAST_CROPS = (19, 27, 31)  # of 32s, 16s and 8s


class FCN(nn.Module):
    """VGG16 as convolutions, its scores added to those of pool4 and pool3.

    Thirteen 3 x 3 convolutions with ReLU in five stages, each followed by a 2 x 2
    max-pooling; the dense layers as convolutions of 7 x 7 and 1 x 1 pixels with ReLU
    and dropout; a score for each class. 16s up-samples the scores by 2 and adds those
    of pool4, 8s does it once more with pool3; the rest of the way up is fixed bilinear
    up-sampling. Score layers begin at zero. The up-sampling in between begins as
    bilinear interpolation and learns.

    ``valid`` is the arithmetic of the authors' release, with its crops of 19, 27, 31,
    5 and 9 pixels: the 100 pixels by which its first convolution pads the image are
    part of what the network is given. An image inside 100 zeros gives what the release
    gives; here these pixels are image, or its mirror image.

    ``same`` pads each convolution by half its kernel, also that of 7 x 7 pixels, and
    crops nothing: a deviation that costs a fraction of ``valid`` on small images.

    The other deviations: weights come from He's draw and not from ImageNet, and the
    dense layers have 64 times base_channels, which is VGG16's 4096 for 64. Reasons:
    docs/decisions/0031-fcn.md.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first stage; 64 in VGG16.
        padding: ``valid`` or ``same``, as above.
        dropout: Probability after the two layers that were dense; 0.5 in VGG16.

    Attributes:
        skips: Number of poolings whose scores are added: 0, 1 or 2.
        starts_from: Networks whose weights this one takes over in staged training.

    Source:
        Long 2015, sections 3 and 4; ``net.py`` of voc-fcn32s, voc-fcn16s and voc-fcn8s
        in the authors' fcn.berkeleyvision.org.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 32
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("valid", "same")
    name: ClassVar[str]
    skips: ClassVar[Literal[0, 1, 2]]
    starts_from: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "valid",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.valid = padding == "valid"
        self.sizes = SizeRule(
            self.name,
            stride=self.stride,
            offset=2 * CONTEXT % self.stride if self.valid else 0,
            margin=CONTEXT if self.valid else 0,
        )
        self.margin = self.sizes.margin
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        widths = [base_channels * factor for factor in (1, 2, 4, 8, 8)]
        dense = 64 * base_channels
        self.stages = nn.ModuleList(
            _stage(before, after, count, unpadded=self.valid and after == base_channels)
            for before, after, count in zip(
                [in_channels, *widths[:-1]], widths, CONVOLUTIONS, strict=True
            )
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # as Caffe's rounds
        self.dense = nn.Sequential(
            nn.Conv2d(widths[-1], dense, 7, padding=0 if self.valid else 3),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(dense, dense, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.score = nn.Conv2d(dense, out_channels, 1)
        self.skip_scores = nn.ModuleList(
            nn.Conv2d(widths[stage], out_channels, 1) for stage in (3, 2)[: self.skips]
        )
        unpadded = 0 if self.valid else None
        self.twice = nn.ModuleList(
            LearnedBilinear(out_channels, 2, padding=unpadded)
            for _ in range(self.skips)
        )
        self.enlarge = PredictionUpsampling(
            out_channels, self.stride // 2**self.skips, padding=unpadded
        )
        self._initialize()

    def _initialize(self) -> None:
        """He's draw, then zeros for the scores, and interpolation."""
        initialize(self)
        for score in (self.score, *self.skip_scores):
            nn.init.zeros_(score.weight)
        for layer in self.modules():
            if isinstance(layer, LearnedBilinear):
                layer.interpolate()

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K oi oj"]:
        """Logits of each class."""
        features, pooled = image, []
        for stage in self.stages:
            features = self.pool(stage(features))
            pooled.append(features)
        scores = self.score(self.dense(features))
        levels = zip(
            self.twice, self.skip_scores, (pooled[3], pooled[2]), CROPS, strict=False
        )
        for twice, score, skip, crop in levels:
            scores = twice(scores)
            scores = scores + _cut(score(skip), crop if self.valid else 0, scores)
        last = LAST_CROPS[self.skips] if self.valid else 0
        height, width = image.shape[2:]
        near, down, right = self.margin, height - self.margin, width - self.margin
        return _cut(self.enlarge(scores), last, image[:, :, near:down, near:right])


def _stage(before: int, after: int, count: int, *, unpadded: bool) -> nn.Sequential:
    """Convolutions of 3 x 3 pixels with ReLU, padded, or all but the first one."""
    layers: list[nn.Module] = []
    for n in range(count):
        padding = 0 if unpadded and n == 0 else 1
        layers.append(nn.Conv2d(after if n else before, after, 3, padding=padding))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _cut(scores: Tensor, offset: int, like: Tensor) -> Tensor:
    """The part with the size of another map, an offset from the upper left corner."""
    height, width = like.shape[2:]
    return scores[:, :, offset : offset + height, offset : offset + width]
