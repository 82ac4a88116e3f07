"""What is chosen by instances; whole trainings choose in tests/test_instances.py."""

import numpy as np

from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.rules.instances import WHOLE, InstanceRule
from segpipe.segmenter.rules.postprocessing import NOTHING, StructureRule
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.validation.choosing import choose_instances, without_debris
from tests.support.projects import one_thread
from tests.support.segmenters import make_plan, make_segmenter

LARGEST = StructureRule(keep_largest=True, smallest_mm3=0.0, fill_holes=True)
SEEDED = InstanceRule(seeds="probability", threshold=0.7, smallest_mm3=12.0)
INFERENCE = Inference(
    overlap_fraction=0.0,
    blending="constant",
    memory_gb=1.0,
    mirror=False,
    compute=one_thread(),
)


def test_a_label_map_drops_what_is_too_small_for_an_instance() -> None:
    """The largest component alone, as Dice may choose, would drop instances."""
    small = StructureRule(keep_largest=False, smallest_mm3=12.0, fill_holes=False)

    assert without_debris((LARGEST, LARGEST), (SEEDED, WHOLE)) == (small, LARGEST)
    assert without_debris((), (SEEDED, WHOLE)) == (small, NOTHING)
    assert without_debris((LARGEST,), ()) == (LARGEST,)


def test_without_ids_there_is_no_rule_of_instances() -> None:
    label = np.zeros((16, 16, 8), dtype=np.int16)
    label[2:9, 2:9, 2:5] = 1
    case = TrainingCase(
        name="one",
        image=np.zeros((1, *label.shape), dtype=np.float32),
        label=label,
        border=None,
        separation=None,
        places={},
        quantiles=None,
    )
    segmenter = make_segmenter(make_plan(), network="unet3d", patch_size=(16, 16, 8))

    assert choose_instances(segmenter, [case], INFERENCE) == ()
    assert choose_instances(segmenter, [], INFERENCE) == ()
