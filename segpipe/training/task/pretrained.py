"""Pretrained: the weights of another segmenter, from which a training starts."""

import logging
from pathlib import Path

from segpipe.networks.catalogue import Network, NetworkName
from segpipe.project.errors import DataError
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.training.task.section import ALL, NONE

log = logging.getLogger(__name__)
SHOWN = 12  # characters of a digest


def load_pretrained(text: str, root: Path) -> Segmenter | None:
    """Load the segmenter that ``FOLDER@DIGEST`` names.

    The digest makes the params change with the content of the folder, so that a
    training from other weights is stale.

    Args:
        text: Value of ``start_from``; the folder is relative to the project's root.
        root: The project's root.

    Returns:
        The segmenter; None for ``none``.

    Raises:
        DataError: If the folder is no segmenter, or its digest is another one.
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
            f"its content, found {text}; was the segmenter replaced?"
        )
    return segmenter


def start_from(network: Network, segmenter: Segmenter, name: NetworkName) -> None:
    """Copy the weights whose shapes fit; all others keep their initial values.

    A network whose paper trains it in stages takes the weights of those that it
    ``starts_from``, too.

    Args:
        network: The network that is trained; changed in place.
        segmenter: The segmenter whose first network is copied.
        name: Name of the network that is trained.

    Raises:
        DataError: If the segmenter has another network, or no weights fit.
    """
    spec = segmenter.spec.network
    known = (name, *getattr(network, "starts_from", ()))
    if spec.name not in known:
        expected = " or a ".join(known)
        raise DataError(f"start_from: expected a {expected}, found a {spec.name}")
    old, new = segmenter.networks[0].state_dict(), network.state_dict()
    fitting = {
        key: value
        for key, value in old.items()
        if key in new and new[key].shape == value.shape
    }
    if all(value.ndim < 2 for value in fitting.values()):  # biases always fit
        raise DataError(
            f"start_from: expected weights that fit base_channels, found those of "
            f"{spec.base_channels}; set base_channels to it"
        )
    network.load_state_dict({**new, **fitting})
    log.info("start from %s: %d of %d tensors", spec.name, len(fitting), len(new))


def learn_only(network: Network, part: str) -> None:
    """Let a training change a part of the weights only.

    Args:
        network: The network that is trained; changed in place.
        part: ``all``, or how the names of these weights begin: the name of a layer, or
            of what holds it.

    Raises:
        DataError: If no weights are named so.
    """
    if part == ALL:
        return
    names = [name for name, _ in network.named_parameters()]
    learned = {name for name in names if f"{name}.".startswith(f"{part}.")}
    if not learned:
        parts = dict.fromkeys(name.rpartition(".")[0] for name in names)
        raise DataError(
            f"learned_part: expected all, or a part of the network, found {part}; its "
            f"layers are {', '.join(parts)}"
        )
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in learned)


def rest_what_is_frozen(network: Network) -> None:
    """Let the parts that learn nothing run as in use: no dropout, fixed statistics."""
    for part in network.modules():
        weights = list(part.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            part.eval()
