"""Arms: the systems that are compared, and the pairs that a paper's claim is about."""

import inspect
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from experiments.budget import EPOCHS
from experiments.trials import Sections, Trial, merged, read_sections
from segpipe.networks.catalogue import NETWORKS

Width = Literal["narrow", "paper"]
LENGTH = {"budget": "params", "epochs": EPOCHS, "steps_per_epoch": 1}


@dataclass(frozen=True)
class Arm:
    """A system with the preset that it learns by.

    Attributes:
        name: Name in the tables.
        preset: Name of the preset.
        model: Name of the model in the preset, whose section is the recipe.
        changes: Changes of that section.
        share: Share of the seconds that it learns for.
        small: What makes a step cheap enough for one core, but at the paper's width.
    """

    name: str
    preset: str
    model: str
    changes: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0
    small: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A sentence of the literature as pairs of arms, the better one first.

    Attributes:
        text: The sentence.
        pairs: Names of two arms each.
        score: ``Dice``, or ``AP``, the average precision of instances.
    """

    text: str
    pairs: tuple[tuple[str, str], ...]
    score: Literal["Dice", "AP"] = "Dice"


def literature(
    name: str,
    network: str,
    changes: dict[str, Any] | None = None,
    *,
    batch: int = 2,
) -> Arm:
    """A 2-D system by the one recipe of all, but for what the changes say."""
    every = {"network": network, "base_channels": 16, **(changes or {})}
    small = {"patch_size": [128, 128, 1], "batch_size": batch}
    return Arm(name, "literature-2d", "dilated", every, small=small)


def volumes(name: str, network: str, base_channels: int, **changes: Any) -> Arm:
    """A 3-D system by the recipe of best-3d without deep supervision."""
    every = {
        "network": network,
        "base_channels": base_channels,
        "loss": {"deep_supervision": False},
    }
    return Arm(name, "best-3d", "resenc3d", merged(every, changes))


FOCAL = {"loss": {"name": "focal"}}
CONTACT = {"target": "contact"}
PATCHWISE = {"batch_size": 16, "loss": {"kept_fraction": 0.25}}  # 4 times the batch
FEW = {"base_channels": 4, "batch_size": 4}
IMAGES = (
    literature("unet2d, same", "unet2d"),
    replace(
        literature(
            "unet2d, valid",
            "unet2d",
            {"padding": "valid", "patch_size": [444, 444, 1]},
        ),
        small={"patch_size": [252, 252, 1], "batch_size": 2},
    ),
    literature("fcn32s", "fcn32s"),
    literature("fcn16s", "fcn16s"),
    literature("fcn8s", "fcn8s"),
    replace(
        literature("deconvnet", "deconvnet"),
        small={"patch_size": [224, 224, 1], "batch_size": 1},
    ),
    literature("segnet", "segnet", {"class_weights": "median_frequency"}),
    literature("dilated", "dilated"),
    literature("context", "context"),
    literature("context_large", "context_large"),
    literature(
        "encoder_decoder, switches", "encoder_decoder", {"upsampling": "max_unpooling"}
    ),
    literature(
        "encoder_decoder, transposed", "encoder_decoder", {"upsampling": "transposed"}
    ),
    literature("convolutions", "convolutions"),
    Arm(
        "twopath",
        "literature-2d",
        "twopath",
        small=FEW,
    ),
    Arm(
        "inputcascade",
        "literature-2d",
        "inputcascade",
        small=FEW,
    ),
    Arm(
        "resenc2d, preset best-2d",
        "best-2d",
        "resenc2d",
        small={"patch_size": [128, 128, 1], "batch_size": 2},
    ),
    Arm("unet2d, preset nuclei", "nuclei", "unet2d"),
    Arm("maskrcnn, preset mask-rcnn", "mask-rcnn", "maskrcnn"),
    literature("unet2d, contact, cross-entropy", "unet2d", CONTACT),
    literature("unet2d, contact, focal", "unet2d", {**CONTACT, **FOCAL}),
    literature("fcn8s, patch-wise", "fcn8s", PATCHWISE, batch=8),
    replace(literature("fcn8s, a quarter of the seconds", "fcn8s"), share=0.25),
)
VOLUMES = (
    volumes("unet3d", "unet3d", 16),
    volumes("vnet", "vnet", 8),
    Arm("resenc3d, preset best-3d", "best-3d", "resenc3d"),
    volumes(
        "monai/SegResNet",
        "monai/SegResNet",
        16,
        arguments={"blocks_down": [1, 2, 2], "blocks_up": [1, 1]},
    ),
    volumes("monai/DynUNet", "monai/DynUNet", 16),
    volumes("monai/SwinUNETR", "monai/SwinUNETR", 12),
    volumes(
        "monai/UNETR",
        "monai/UNETR",
        16,
        arguments={"hidden_size": 192, "mlp_dim": 768, "num_heads": 6},
    ),
)
IMAGE_CLAIMS = (
    Claim(
        "FCN-8s is better than FCN-16s, and that than FCN-32s (Long 2015)",
        (("fcn8s", "fcn16s"), ("fcn16s", "fcn32s"), ("fcn8s", "fcn32s")),
    ),
    Claim(
        "A context module helps (Yu 2016)",
        (("context", "dilated"), ("context_large", "dilated")),
    ),
    Claim(
        "Switches are better than transposed convolutions",
        (("encoder_decoder, switches", "encoder_decoder, transposed"),),
    ),
    Claim(
        "Patch-wise training is as good per sample, but slower (Long 2015)",
        (
            ("fcn8s, patch-wise", "fcn8s, a quarter of the seconds"),
            ("fcn8s", "fcn8s, patch-wise"),
        ),
    ),
    Claim(
        "The focal loss is better for a rare class: the contact of touching nuclei",
        (("unet2d, contact, focal", "unet2d, contact, cross-entropy"),),
        score="AP",
    ),
    Claim(
        "A network that is newer is better: best-2d against U-Net",
        (("resenc2d, preset best-2d", "unet2d, same"),),
    ),
)
VOLUME_CLAIMS = (
    Claim(
        "A network that is newer is better: best-3d against 3D U-Net and V-Net",
        (
            ("resenc3d, preset best-3d", "unet3d"),
            ("resenc3d, preset best-3d", "vnet"),
        ),
    ),
)


def build_trial(arm: Arm, seed: int, base: Sections, width: Width) -> Trial:
    """A trial of an arm by the sections of its set.

    Args:
        arm: The arm.
        seed: Seed of the training.
        base: Sections of the set; the section train is the arm's own.
        width: ``narrow``, small as the arm says, or ``paper``, with the patches of the
            preset and the width of the network's paper.
    """
    changes = merged(arm.changes, {**LENGTH, "seed": seed})
    if width == "narrow":
        changes = merged(changes, arm.small)
    if width == "paper":
        network = changes.get("network", arm.model)
        parameters = inspect.signature(NETWORKS[network].__init__).parameters
        changes["base_channels"] = parameters["base_channels"].default
    own = read_sections(arm.preset, arm.model, {"train": changes})
    return Trial(arm.name, seed, replace(base, train=own.train))
