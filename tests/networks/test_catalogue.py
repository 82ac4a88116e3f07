from typing import get_args

import pytest

from segpipe.networks.catalogue import NETWORKS, Network, NetworkName
from segpipe.project.code import network_module


def test_every_name_has_its_class_and_every_class_its_name() -> None:
    assert set(NETWORKS) == set(get_args(NetworkName))
    assert set(NETWORKS.values()) == set(get_args(Network))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_stands_in_the_module_of_its_name(name: str) -> None:
    """Digests of code find the module of a network by the network's name."""
    assert NETWORKS[name].__module__ == network_module(name)
