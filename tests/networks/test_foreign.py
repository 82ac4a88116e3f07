"""What params say of a class of MONAI is checked, and MONAI imported only then."""

import re
import subprocess
import sys
from typing import Any

import pytest

from segpipe.networks.build import find_argument_fault


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"init_filter": 8}, r"not init_filter; did you mean init_filters\?"),
        ({"colour": 8}, "which are spatial_dims, .*, and not colour; drop it"),
        ({"init_filters": 16}, "expected init_filters to begin with base_channels, 8"),
        ({"in_channels": 2}, "expected no in_channels, which data and patch decide"),
        ({"deep_supervision": True}, "expected no deep_supervision, as the loss"),
        ({"spatial_dims": 4}, "expected spatial_dims 2 or 3"),
        ({"blocks_down": "x"}, "fit each other .*MONAI says: 'str' object"),
        ({"blocks_down": [1, 2]}, "fit each other .*MONAI says: Invalid channel"),
        ({"norm": ["GROUP", {"num_groups": 3}]}, "divisible by num_groups"),
    ],
)
def test_arguments_that_the_class_does_not_take_are_named(
    arguments: dict[str, Any], text: str
) -> None:
    fault = find_argument_fault("monai/SegResNet", arguments, 8)

    assert fault is not None
    assert re.search(text, fault), fault


def test_the_width_may_stand_in_both_places_if_both_are_the_same() -> None:
    assert find_argument_fault("monai/SegResNet", {"init_filters": 8}, 8) is None
    assert (
        find_argument_fault("monai/UNet", {"channels": [4, 8], "strides": [2]}, 4)
        is None
    )
    assert "divisible by 12" in str(find_argument_fault("monai/SwinUNETR", {}, 8))


def test_no_other_network_takes_arguments() -> None:
    text = find_argument_fault("unet2d", {"act": "relu"}, 8)

    assert text == "expected nothing, as only MONAI's take any; drop it"
    assert find_argument_fault("unet2d", {}, 8) is None


def test_monai_is_imported_for_its_networks_only() -> None:
    code = (
        "import sys\n"
        "import segpipe.networks.catalogue, segpipe.stages.train\n"
        "from segpipe.networks.build import NetworkSpec, build_network\n"
        "one = dict(in_channels=1, out_channels=2, padding='same')\n"
        "build_network(NetworkSpec(name='vnet', base_channels=2, **one))\n"
        "assert not [name for name in sys.modules if name.startswith('monai')]\n"
        "build_network(NetworkSpec(name='monai/SegResNet', base_channels=8, **one))\n"
        "assert 'monai.networks.nets' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
