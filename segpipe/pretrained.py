"""Pretrained: weights of another segmenter to start from, named with their digest."""

import logging
from pathlib import Path

from segpipe.errors import DataError
from segpipe.network import Network, NetworkName
from segpipe.segmenter import Segmenter, segmenter_digest

log = logging.getLogger(__name__)
NONE = "none"
SHOWN = 12  # characters of a digest


def load_pretrained(text: str, root: Path) -> Segmenter | None:
    """The segmenter that ``FOLDER@DIGEST`` names; ``none`` is none.

    The digest makes the name change with the content, so that what was trained from
    other weights is known to be stale.

    Args:
        text: Of params.yaml; the folder is relative to the project's root.
        root: Of the project.

    Raises:
        DataError: If the folder is no segmenter, or not the one of the digest.
    """
    if text == NONE:
        return None
    name, _, digest = text.rpartition("@")
    folder = name or text
    segmenter = Segmenter.load(root / folder)
    found = segmenter_digest(root / folder)[:SHOWN]
    if digest != found or not name:
        raise DataError(
            f"start_from: expected {folder}@{found}, the folder with the digest of "
            f"what it holds, found {text}; was it replaced?"
        )
    return segmenter


def start_from(network: Network, segmenter: Segmenter, name: NetworkName) -> None:
    """Copy the weights that fit; those that do not, such as other classes', stay.

    Args:
        network: To start.
        segmenter: Whose first network is copied.
        name: Of the network.

    Raises:
        DataError: If it is another network, or nothing fits.
    """
    spec = segmenter.spec.network
    if spec.name != name:
        raise DataError(f"start_from: expected a {name}, found a {spec.name}")
    old, new = segmenter.networks[0].state_dict(), network.state_dict()
    fitting = {
        key: value
        for key, value in old.items()
        if key in new and new[key].shape == value.shape
    }
    if not fitting:
        raise DataError(
            f"start_from: expected weights that fit base_channels, found those of "
            f"{spec.base_channels}; set the same"
        )
    network.load_state_dict({**new, **fitting})
    log.info("start from %s: %d of %d tensors", spec.name, len(fitting), len(new))
