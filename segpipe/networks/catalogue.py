"""The catalogue: every network by its name, which is the name of its module.

Digests of code leave this module out and count only the networks that a model names:
a new network makes no trained one stale.
"""

from typing import Literal

from segpipe.networks.unet2d import UNet2d
from segpipe.networks.unet3d import UNet3d
from segpipe.networks.vnet import VNet

Network = UNet2d | UNet3d | VNet
NetworkName = Literal["unet2d", "unet3d", "vnet"]
NETWORKS: dict[str, type[Network]] = {"unet2d": UNet2d, "unet3d": UNet3d, "vnet": VNet}
