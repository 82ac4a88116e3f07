"""Lanes run what is not finished, as long as there is time."""

from pathlib import Path

from experiments.leaderboard.lanes import OVERHEAD_S, Queue, Task, pending
from experiments.leaderboard.trial import result_file
from segpipe.project.documents import write_json

TASKS = [Task("2d_dsb2018", "unet2d, same", seed) for seed in (1, 2)]


def test_a_finished_trial_is_not_run_again(tmp_path: Path) -> None:
    assert pending(TASKS, tmp_path) == TASKS

    write_json(result_file(tmp_path, "2d_dsb2018", "unet2d, same", 1), {})
    assert pending(TASKS, tmp_path) == TASKS[1:]


def test_no_trial_begins_that_would_not_end_in_time() -> None:
    in_time = Queue(TASKS, 60, until=60 + OVERHEAD_S + 5)
    assert in_time.take() == TASKS[0]

    in_time.end(TASKS[0], 60 + OVERHEAD_S + 10, failed=False)  # it took longer
    assert in_time.take() is None
    assert in_time.left == 1
    assert Queue(TASKS, 60, until=60).take() is None
