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
        small: What makes a step cheap enough for one core, but at the paper's width.
        first: Arm from whose segmenter of the same seed it goes on, for as long again.
        length_of: Arm whose trial of the same seed says how many steps it takes,
            whatever the seconds.
    """

    name: str
    preset: str
    model: str
    changes: dict[str, Any] = field(default_factory=dict)
    small: dict[str, Any] = field(default_factory=dict)
    first: str = ""
    length_of: str = ""


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
CROSS_ENTROPY = {"loss": {"name": "cross_entropy"}}
# A tenth of the others' rate. Yu 2016 trains from VGG16's weights, with SGD at 1e-3;
# from random weights AdamW at 1e-3 left a constant answer after some 120 steps.
CAREFUL = {"optimizer": {"learning_rate": 1e-4}}
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
    literature("fcn8s, patch-wise", "fcn8s", PATCHWISE, batch=8),
    replace(
        literature("deconvnet", "deconvnet"),
        small={"patch_size": [224, 224, 1], "batch_size": 1},
    ),
    literature("segnet", "segnet", {"class_weights": "median_frequency"}),
    literature("dilated", "dilated", CAREFUL),
    literature("context", "context", CAREFUL),
    literature("context_large", "context_large", CAREFUL),
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
    # Those that need the trial of another arm come long after it.
    replace(
        literature("fcn8s, as many samples", "fcn8s"), length_of="fcn8s, patch-wise"
    ),
    *(
        replace(literature(f"{name}, on", name, CAREFUL), first="dilated")
        for name in ("dilated", "context", "context_large")
    ),
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
    volumes("monai/DynUNet, cross-entropy", "monai/DynUNet", 16, **CROSS_ENTROPY),
    volumes(
        "monai/DynUNet, balanced",
        "monai/DynUNet",
        16,
        **CROSS_ENTROPY,
        class_weights="balanced",
    ),
    volumes("monai/DynUNet, focal", "monai/DynUNet", 16, **FOCAL),
    volumes("monai/MedNeXt", "monai/MedNeXt", 16, arguments={"kernel_size": 3}),
    volumes("monai/BasicUNet", "monai/BasicUNet", 16),
    volumes("monai/UNet", "monai/UNet", 16, arguments={"num_res_units": 2}),
    volumes("monai/AttentionUnet", "monai/AttentionUnet", 16),
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
        (("context, on", "dilated, on"), ("context_large, on", "dilated, on")),
    ),
    Claim(
        "Switches are better than transposed convolutions",
        (("encoder_decoder, switches", "encoder_decoder, transposed"),),
    ),
    Claim(
        "Patch-wise training is as good per sample, but slower (Long 2015)",
        (
            ("fcn8s, patch-wise", "fcn8s, as many samples"),
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
    Claim(
        "The focal loss is better for rare classes: structures of 2 or 3 % of a volume",
        (
            ("monai/DynUNet, focal", "monai/DynUNet, cross-entropy"),
            ("monai/DynUNet, focal", "monai/DynUNet, balanced"),
            ("monai/DynUNet, balanced", "monai/DynUNet, cross-entropy"),
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
