"""Arms differ in what they say, and their claims are about arms that exist."""

import pytest

from experiments.leaderboard.arms import Width, build_trial
from experiments.leaderboard.sets import BOARDS, base_sections
from experiments.trials import Trial

IMAGES = BOARDS["2d_dsb2018"]


def trial(name: str, width: Width = "narrow") -> Trial:
    base = base_sections(IMAGES, device="cpu")
    return build_trial(IMAGES.arm(name), 7, base, width)


def test_claims_are_about_arms_of_their_set() -> None:
    for board in BOARDS.values():
        names = {arm.name for arm in board.arms}
        needed = {arm.first or arm.length_of or arm.name for arm in board.arms}
        claimed = {name for one in board.claims for pair in one.pairs for name in pair}

        assert claimed | needed <= names
        assert len(names) == len(board.arms)


def test_arms_learn_from_the_same_prepared_data() -> None:
    one, other = trial("fcn8s"), trial("unet2d, preset nuclei")

    assert (one.sections.plan, one.sections.weigh) == (
        other.sections.plan,
        other.sections.weigh,
    )
    assert one.sections.train.seed == other.sections.train.seed == 7


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("fcn8s", "fcn32s", {"network"}),
        ("context, on", "dilated, on", {"network"}),
        ("context_large, on", "dilated, on", {"network"}),
        ("dilated, on", "dilated", set()),
        (
            "encoder_decoder, switches",
            "encoder_decoder, transposed",
            {"upsampling"},
        ),
        ("unet2d, contact, focal", "unet2d, contact, cross-entropy", {"loss"}),
        ("fcn8s, patch-wise", "fcn8s", {"batch_size", "loss"}),
        ("fcn8s, as many samples", "fcn8s", set()),
    ],
)
def test_pairs_of_a_claim_differ_in_one_thing(
    one: str, other: str, differ: set[str]
) -> None:
    a = trial(one).sections.train.model_dump(mode="json")
    b = trial(other).sections.train.model_dump(mode="json")

    assert {key for key in a | b if a.get(key) != b.get(key)} == differ


def test_patch_wise_training_counts_as_many_pixels_a_step() -> None:
    """Long 2015, section 4.4: 1 / p times the images, each pixel with probability p."""
    whole = trial("fcn8s").sections.train
    some = trial("fcn8s, patch-wise").sections.train

    assert whole.batch_size == some.loss.kept_fraction * some.batch_size
    assert IMAGES.arm("fcn8s, as many samples").length_of == "fcn8s, patch-wise"


def test_the_papers_width_is_that_of_vgg16() -> None:
    assert trial("fcn8s").sections.train.base_channels == 16
    assert trial("fcn8s", "paper").sections.train.base_channels == 64
