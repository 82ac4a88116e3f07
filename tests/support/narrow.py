"""Each network as narrow as it can be, in the words of params."""

from typing import Any

from segpipe.networks.catalogue import NETWORKS
from tests.support.projects import with_loss

NARROW: dict[str, dict[str, Any]] = {
    "monai/SegResNet": {"base_channels": 8},  # in groups of eight
    "monai/UNETR": {
        "arguments": {"hidden_size": 12, "mlp_dim": 12, "num_heads": 2},
    },
    "monai/SwinUNETR": {
        "base_channels": 12,
        "arguments": {"depths": [1] * 4, "num_heads": [1] * 4, "window_size": 2},
    },
    "monai/MedNeXt": {"arguments": {"kernel_size": 3}},
    "monai/AttentionUnet": {"base_channels": 2},
}


def narrow(network: str) -> dict[str, Any]:
    """Params of a network of one channel, or as few as it takes."""
    return {"base_channels": 1, **NARROW.get(network, {})}


def brings_loss(network: str) -> bool:
    """Whether a network has its own loss, and no other."""
    return getattr(NETWORKS[network], "brings_loss", False)


def needed(network: str) -> dict[str, Any]:
    """Params without which a network is refused."""
    if not brings_loss(network):
        return {}
    return {
        "loss": with_loss("own"),
        "class_weights": "none",
        "border_weights": False,
    }
