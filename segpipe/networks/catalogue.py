"""The catalogue: every network by its name, which is the name of its module.

MONAI's networks share one module, and are imported only when a model names one.

Digests of code leave this module out and count only the networks that a model names:
a new network makes no trained one stale.
"""

from typing import Literal

from segpipe.networks.context import Context
from segpipe.networks.context_large import ContextLarge
from segpipe.networks.convolutions import Convolutions
from segpipe.networks.deconvnet import DeconvNet
from segpipe.networks.dilated import Dilated
from segpipe.networks.encoder_decoder import EncoderDecoder
from segpipe.networks.fcn8s import FCN8s
from segpipe.networks.fcn16s import FCN16s
from segpipe.networks.fcn32s import FCN32s
from segpipe.networks.inputcascade import InputCascade
from segpipe.networks.maskrcnn import MaskRCNN
from segpipe.networks.monai import (
    UNETR,
    AttentionUnet,
    BasicUNet,
    DynUNet,
    MedNeXt,
    SegResNet,
    SwinUNETR,
    UNet,
)
from segpipe.networks.resenc2d import ResEnc2d
from segpipe.networks.resenc3d import ResEnc3d
from segpipe.networks.segnet import SegNet
from segpipe.networks.twopath import TwoPath
from segpipe.networks.unet2d import UNet2d
from segpipe.networks.unet3d import UNet3d
from segpipe.networks.vnet import VNet

Network = (
    UNet2d
    | UNet3d
    | VNet
    | ResEnc2d
    | ResEnc3d
    | Dilated
    | Context
    | ContextLarge
    | SegNet
    | DeconvNet
    | FCN32s
    | FCN16s
    | FCN8s
    | Convolutions
    | TwoPath
    | InputCascade
    | EncoderDecoder
    | SegResNet
    | DynUNet
    | UNETR
    | SwinUNETR
    | MedNeXt
    | BasicUNet
    | UNet
    | AttentionUnet
    | MaskRCNN
)
NetworkName = Literal[
    "unet2d",
    "unet3d",
    "vnet",
    "resenc2d",
    "resenc3d",
    "dilated",
    "context",
    "context_large",
    "segnet",
    "deconvnet",
    "fcn32s",
    "fcn16s",
    "fcn8s",
    "convolutions",
    "twopath",
    "inputcascade",
    "encoder_decoder",
    "monai/SegResNet",
    "monai/DynUNet",
    "monai/UNETR",
    "monai/SwinUNETR",
    "monai/MedNeXt",
    "monai/BasicUNet",
    "monai/UNet",
    "monai/AttentionUnet",
    "maskrcnn",
]
NETWORKS: dict[str, type[Network]] = {
    "unet2d": UNet2d,
    "unet3d": UNet3d,
    "vnet": VNet,
    "resenc2d": ResEnc2d,
    "resenc3d": ResEnc3d,
    "dilated": Dilated,
    "context": Context,
    "context_large": ContextLarge,
    "segnet": SegNet,
    "deconvnet": DeconvNet,
    "fcn32s": FCN32s,
    "fcn16s": FCN16s,
    "fcn8s": FCN8s,
    "convolutions": Convolutions,
    "twopath": TwoPath,
    "inputcascade": InputCascade,
    "encoder_decoder": EncoderDecoder,
    "monai/SegResNet": SegResNet,
    "monai/DynUNet": DynUNet,
    "monai/UNETR": UNETR,
    "monai/SwinUNETR": SwinUNETR,
    "monai/MedNeXt": MedNeXt,
    "monai/BasicUNet": BasicUNet,
    "monai/UNet": UNet,
    "monai/AttentionUnet": AttentionUnet,
    "maskrcnn": MaskRCNN,
}
