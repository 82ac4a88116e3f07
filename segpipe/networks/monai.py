"""Networks of MONAI by name, a closed list: Cardoso 2022, arXiv:2211.02701.

What they have in common, and their import, stand in foreign.py.
"""

import math
from collections.abc import Sequence
from typing import Any

from segpipe.networks.foreign import USUAL, Arguments, Foreign
from segpipe.networks.topology import Topology, choose_topology

LARGEST = {2: 512, 3: 320}  # channels of a DynUNet, as in nnU-Net


class SegResNet(Foreign):
    """Residual blocks without skips of features but sums: Myronenko 2018.

    Source:
        arXiv:1810.11654, without its variational autoencoder.
    """

    width = "init_filters"

    @classmethod
    def stride_of(cls, planned: Arguments) -> int:
        """A halving between two levels."""
        return int(2 ** (len(cls.value_of(planned, "blocks_down")) - 1))


class MedNeXt(Foreign):
    """A U-Net of ConvNeXt blocks: Roy 2023, arXiv:2303.09975."""

    width = "init_filters"

    @classmethod
    def stride_of(cls, planned: Arguments) -> int:
        """A halving after each level."""
        return int(2 ** len(cls.value_of(planned, "blocks_down")))


class UNETR(Foreign):
    """A transformer as the encoder: Hatamizadeh 2022, arXiv:2103.10504.

    It has a position for each place of its patch, so all tiles have that size.
    """

    width = "feature_size"
    keeps_patch = True

    @classmethod
    def stride_of(cls, planned: Arguments) -> int:
        """A token has 16 voxels along each axis."""
        return 16


class SwinUNETR(Foreign):
    """A transformer with shifted windows as the encoder: Hatamizadeh 2022.

    Windows are laid out for one size when it is exported, so all tiles have that of the
    patch.

    Source:
        arXiv:2201.01266.
    """

    width = "feature_size"
    keeps_patch = True
    reads_values = True

    @classmethod
    def stride_of(cls, planned: Arguments) -> int:
        """Tokens, and four mergings of them."""
        return int(cls.value_of(planned, "patch_size") ** 5)


class BasicUNet(Foreign):
    """A padded U-Net with two convolutions a level: Falk 2019.

    Source:
        doi:10.1038/s41592-018-0261-2, as MONAI has it.
    """

    width = "features"

    @classmethod
    def planned(
        cls, given: Arguments, base_channels: int, topology: Topology | None
    ) -> Arguments:
        """Widths in the ratios of MONAI's default."""
        widths = tuple(base_channels * factor for factor in (1, 1, 2, 4, 8, 1))
        return {"spatial_dims": 3, cls.width: widths, **given}

    @classmethod
    def stride_of(cls, planned: Arguments) -> int:
        """Four poolings."""
        return 16


class DynUNet(Foreign):
    """The U-Net of nnU-Net: Isensee 2021, doi:10.1038/s41592-020-01008-z.

    Without ``strides`` in its arguments it takes strides and kernels of the plan, as a
    resenc does.
    """

    width = "filters"
    follows_patch = True

    @classmethod
    def planned(
        cls, given: Arguments, base_channels: int, topology: Topology | None
    ) -> Arguments:
        """Strides and kernels of the arguments, or of the plan."""
        dimensions = given.get("spatial_dims", 3)
        size = (USUAL,) * dimensions
        chosen = topology or choose_topology(size, (1.0,) * dimensions)
        strides = given.get("strides", chosen.strides)
        kernels = chosen.kernels if "strides" not in given else (3,) * len(strides)
        widths = [base_channels * 2**n for n in range(len(strides))]
        return {
            "spatial_dims": dimensions,
            "kernel_size": kernels,
            "strides": strides,
            "upsample_kernel_size": strides[1:],
            cls.width: [min(width, LARGEST[dimensions]) for width in widths],
            **given,
        }

    @classmethod
    def strides(cls, planned: Arguments) -> tuple[int, ...]:
        """The product of those of all levels."""
        return _total(planned["strides"], planned["spatial_dims"])


class UNet(Foreign):
    """MONAI's U-Net, with residual units if told so: Kerfoot 2019.

    Source:
        doi:10.1007/978-3-030-12029-0_40.
    """

    width = "channels"

    @classmethod
    def planned(
        cls, given: Arguments, base_channels: int, topology: Topology | None
    ) -> Arguments:
        """Four halvings, at each of which channels double, unless told otherwise."""
        strides = given.get("strides", (2,) * 4)
        widths = [base_channels * 2**n for n in range(len(strides) + 1)]
        return {"spatial_dims": 3, cls.width: widths, "strides": strides, **given}

    @classmethod
    def strides(cls, planned: Arguments) -> tuple[int, ...]:
        """The product of those of all levels."""
        return _total(planned["strides"], planned["spatial_dims"])


class AttentionUnet(UNet):
    """A U-Net whose skips pass gates of attention: Oktay 2018, arXiv:1804.03999."""


def _total(strides: Sequence[Any], dimensions: int) -> tuple[int, ...]:
    """The product of strides along each axis; a number is that of all axes."""
    rows = [(s,) * dimensions if isinstance(s, int) else s for s in strides]
    return tuple(math.prod(axis) for axis in zip(*rows, strict=True))
