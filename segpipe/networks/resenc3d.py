"""The residual encoder U-Net in 3-D; resenc.py has its source."""

from typing import ClassVar, Literal

from segpipe.networks.layers import Padding
from segpipe.networks.resenc import ResEnc
from segpipe.networks.topology import Topology, choose_topology

USUAL = choose_topology((128,) * 3, (1.0,) * 3)  # 6 stages


class ResEnc3d(ResEnc):
    """The residual encoder U-Net in 3-D.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first stage; 32 in the presets of the paper.
        padding: ``same``.
        topology: Strides, kernels and blocks; unless the plan has chosen them, those of
            a patch of 128 voxels along each axis with equal spacings.
    """

    dimensions: ClassVar[Literal[2, 3]] = 3
    name: ClassVar[str] = "resenc3d"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 32,
        padding: Padding = "same",  # not read: the paper pads always
        topology: Topology = USUAL,
    ) -> None:
        super().__init__(
            in_channels, out_channels, base_channels=base_channels, topology=topology
        )
