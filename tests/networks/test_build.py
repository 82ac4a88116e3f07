import pytest
import torch

from segpipe.networks.build import NetworkSpec, apply_network, build_network, margin_of


def spec(name: str, padding: str = "same") -> NetworkSpec:
    return NetworkSpec(
        name=name, in_channels=1, out_channels=2, base_channels=2, padding=padding
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_2d_network_sees_slices_across_its_axis(axis: int) -> None:
    torch.manual_seed(0)
    network = build_network(spec("unet2d")).eval()
    shape = [16, 32, 16]
    shape[axis] = 1
    image = torch.rand(2, 1, *shape)

    with torch.inference_mode():
        result = apply_network(network, image, axis)
        plane = network(image.squeeze(2 + axis))

    assert result.shape == (2, 2, *shape)
    torch.testing.assert_close(result.squeeze(2 + axis), plane, atol=1e-5, rtol=0)


def test_one_channel_comes_with_its_channels_last() -> None:
    """Torch takes a single channel for either layout; convolutions read the strides."""
    strides = []

    class Look(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            strides.append(image.stride())
            return image

    apply_network(Look(), torch.rand(2, 1, 8, 6, 1), 2)

    assert strides == [(48, 1, 6, 1)]


def test_a_network_for_all_specs_and_its_margin() -> None:
    assert margin_of(build_network(spec("unet3d", "valid")), None) == (44, 44, 44)
    assert margin_of(build_network(spec("unet2d", "valid")), 1) == (92, 0, 92)
    assert margin_of(build_network(spec("vnet")), None) == (0, 0, 0)
    assert spec("unet3d").sees_tile_statistics
    assert not spec("vnet").sees_tile_statistics


def test_skips_stand_in_the_spec_only_if_they_were_chosen() -> None:
    """So the specs of segmenters that were trained before keep their bytes."""
    plain = {"name": "unet2d", "in_channels": 1, "out_channels": 2}
    plain |= {"base_channels": 2, "padding": "same"}
    added = NetworkSpec(**plain, skips="addition")

    assert NetworkSpec(**plain).model_dump() == plain
    assert added.model_dump() == {**plain, "skips": "addition"}
    assert build_network(added).skips == "addition"
