"""What a reader wants to know of each network that the code cannot say of itself."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class System:
    """A network of the literature.

    Attributes:
        paper: Authors, year and address; or that there is none.
        rows: Its rows of the literature.
        channels: Channels of the paper's images.
        classes: Classes of the paper, background included.
        faithful: What is as in the paper, with the count that tests hold it to.
        deviates: What is not, and why.
        decision: Number of the decision that says more, if any.
        options: Arguments of its class beside the paper's defaults.
    """

    paper: str
    rows: tuple[str, ...]
    channels: int
    classes: int
    faithful: str
    deviates: str
    decision: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


_VGG = "weights come from He's draw, since VGG16's from ImageNet are not shipped"
_FCN = System(
    "Long 2015, arXiv:1411.4038",
    ("F5", "F6"),
    3,
    21,
    "layers, ceil-mode poolings, sums of scores, crops of 19, 27, 31, 5 and 9 pixels, "
    "134,346,581 parameters of 32s, scores that begin at zero",
    f"{_VGG}; the 100 pixels of padding are image, so that tiles agree; `same` is "
    "ours, for small images",
    31,
)
_DILATED = System(
    "Yu 2016, arXiv:1511.07122",
    ("C1", "C3"),
    3,
    21,
    "VGG16 with dilations of 2 and 4 for its last poolings, 900 pixels to 66 places",
    f"bilinear up-sampling by 8 is part of the network, also in training, since losses "
    f"and tiles need every pixel; {_VGG}",
    28,
)
_CONTEXT = System(
    "Yu 2016, arXiv:1511.07122",
    ("C2",),
    3,
    21,
    "eight layers in a row with fields of 3, 5, 9, 17, 33, 65, 67, 67 places that pass "
    "on what they get at first; 64 C² weights",
    "as dilated; zeros stand around the module's input in each tile",
    28,
)
_RESENC = System(
    "Isensee 2024, arXiv:2404.09556",
    (),
    1,
    3,
    "layers, widths, initial weights and logits of the public code",
    "the patch follows the memory and not nnU-Net's tables; the Dice loss has squares",
    24,
)
_CASCADE = System(
    "Havaei 2017, arXiv:1505.03540",
    ("I5",),
    4,
    5,
    "both paths, maxout of two, 33 pixels to one; 651,488 weights with one kernel a "
    "maxout, as the paper counts",
    "phases are models that start from each other; the last biases begin at 0, since "
    "a network does not know frequencies",
    30,
)

SYSTEMS = {
    "unet2d": System(
        "Ronneberger 2015, arXiv:1505.04597",
        ("N1", "N2", "N7"),
        1,
        2,
        "23 convolutional layers, 31,030,658 parameters, 572 pixels to 388",
        "a dropout of 0.5 as released, since the paper gives no rate; `same` and added "
        "skips are options",
        4,
    ),
    "unet3d": System(
        "Çiçek 2016, arXiv:1606.06650",
        ("N8",),
        3,
        3,
        "19,069,955 parameters without those of normalization, 132 x 132 x 116 voxels "
        "to 44 x 44 x 28, statistics of the current input",
        "several inputs of a batch are normalized one by one, as they are in use",
        4,
    ),
    "vnet": System(
        "Milletari 2016, arXiv:1606.04797",
        ("N11",),
        1,
        2,
        "65,175,314 parameters; fields of table 1, which counts 551 where what reaches "
        "an output is 548 voxels wide",
        "several channels repeat cyclically in the first residual; the paper has one",
        4,
    ),
    "resenc2d": _RESENC,
    "resenc3d": _RESENC,
    "dilated": _DILATED,
    "context": _CONTEXT,
    "context_large": System(
        _CONTEXT.paper,
        _CONTEXT.rows,
        _CONTEXT.channels,
        _CONTEXT.classes,
        "as context, with up to 32 C channels and 15,422 C² weights, noise of 0.01",
        _CONTEXT.deviates,
        28,
    ),
    "segnet": System(
        "Badrinarayanan 2017, arXiv:1511.00561",
        ("D2",),
        3,
        11,
        "29,433,483 weights without those of normalization; nothing but switches goes "
        "to the decoder",
        _VGG,
        29,
    ),
    "deconvnet": System(
        "Noh 2015, arXiv:1505.04366",
        ("D1",),
        3,
        21,
        "251,772,245 weights without those of normalization; 224 pixels to 7, 1, 7 "
        "and 224",
        f"tiles in place of object proposals, which medical images lack; {_VGG}",
        29,
    ),
    "fcn32s": _FCN,
    "fcn16s": _FCN,
    "fcn8s": _FCN,
    "convolutions": System(
        "none: what courses begin with",
        ("T4",),
        1,
        2,
        "an output sees 1 + 2 L pixels with L layers",
        "depth and width are ours",
    ),
    "twopath": _CASCADE,
    "inputcascade": System(
        _CASCADE.paper,
        _CASCADE.rows,
        4,
        5,
        "the first probabilities are channels of the second paths, 802,368 weights as "
        "the paper counts; 65 pixels to one",
        _CASCADE.deviates,
        30,
    ),
    "encoder_decoder": System(
        "none: what courses begin with",
        ("T5", "U1", "U2", "U3", "U4", "U5", "U6"),
        1,
        2,
        "the size is kept with any up-sampling",
        "depth and widths are U-Net's, so that only the up-sampling differs",
    ),
    "maskrcnn": System(
        "He 2017, arXiv:1703.06870",
        ("I2", "I3", "L6"),
        3,
        91,
        "anchors of five scales and three ratios, RoIAlign, heads, losses, 1 to 3 "
        "regions; parameters of torchvision but for background",
        "images are not enlarged, so anchors and strides are finer; nothing is "
        "pretrained",
        32,
    ),
}
