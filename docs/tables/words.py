"""What the pages share: rows of tables, and the sizes that a network takes."""

from typing import Any

import torch

from segpipe.networks.catalogue import NETWORKS
from segpipe.networks.layers import SizeRule

OURS = [name for name in NETWORKS if "/" not in name]  # the others are a library's


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def rules_of(name: str) -> dict[str, SizeRule]:
    """The sizes that a network takes along an axis, for each of its paddings.

    Those of the axis with the largest stride, which all other axes take, too.
    """
    kind: Any = NETWORKS[name]
    rules = {}
    for padding in kind.paddings:
        with torch.device("meta"):
            network = kind(1, 2, base_channels=1, padding=padding)
        each = network.sizes
        if isinstance(each, SizeRule):
            each = (each,)
        rules[padding] = max(each, key=lambda rule: rule.stride)
    return rules


def sizes_in_words(name: str) -> str:
    """The same in words, such as ``valid: 16 m + 172, gives 184 fewer; same: 16 m``."""
    words = []
    for padding, rule in rules_of(name).items():
        offset = rule.smallest - rule.stride
        taken = "m" if rule.stride == 1 else f"{rule.stride} m"
        taken += f" + {offset}" if offset else ""
        taken += f", gives {2 * rule.margin} fewer" if rule.margin else ""
        words.append(f"{padding}: {taken}")
    follows = getattr(NETWORKS[name], "follows_patch", False)
    usual = " with its usual patch; the plan chooses the strides" if follows else ""
    return "; ".join(words) + usual
