"""A task of the small project, and the patches of its steps."""

from segpipe.project.paths import Paths
from segpipe.training.distributed import World
from segpipe.training.step import Patches, augment_patches, draw_patches
from segpipe.training.task.build import Task, build_task
from tests.support.projects import TRAIN, changed, one_thread, with_loss

PARAMS = changed(
    TRAIN, network="vnet", loss=with_loss("dice"), patch_size=(16, 16, 16), batch_size=4
)


def make_task(
    paths: Paths, world: World | None = None, fold: int = 0, **changes: object
) -> Task:
    """The task of a prepared project, with changes of its params."""
    return build_task(
        changed(PARAMS, **changes),
        "vnet",
        fold,
        one_thread(),
        paths,
        "0" * 64,
        world or World(),
    )


def patches_of(task: Task, step: int) -> Patches:
    """The augmented patches of a step."""
    return augment_patches(task, draw_patches(task, (0, 0, 0), step))
