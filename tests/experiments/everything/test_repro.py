"""What `dvc repro` prints says which stage took how long, and which one failed."""

from pathlib import Path

import pytest

from experiments.everything.repro import Watch, read_seconds, reproduce

TOLD = (
    (0.0, "'data.dvc' didn't change, skipping"),
    (0.0, "Running stage 'train@a-0':"),
    (1.0, "epoch 1 of 2: Running stage 'x'"),
    (7.5, "Running stage 'train@b-0':"),
    (9.0, "WARNING: failed to run: python -m segpipe train, exited with 1"),
    (9.0, "Running stage 'predict@a':"),
    (11.0, "ERROR: failed to reproduce stages: 'train@b-0' and 'plan'"),
)


def test_a_stage_ends_where_the_next_one_begins_and_a_failed_one_does_not_count() -> (
    None
):
    watch = Watch(stages=4)
    ended = [line for clock, line in TOLD if watch.hear(line, clock)]
    watch.end(11.5)

    assert watch.seconds == {"train@a-0": 7.5, "predict@a": 2.5}
    assert watch.failed == ["train@b-0", "plan"]
    assert ended == ["Running stage 'train@b-0':"]


GRAPH = """
stages:
  counts:
    cmd: python -c "sum(range(20_000_000)); open('counts', 'w').close()"
    outs: [counts]
  fails:
    cmd: python -c "raise SystemExit(3)"
    outs: [fails]
  behind:
    cmd: python -c "pass"
    deps: [fails]
  other:
    cmd: python -c "open('other', 'w').close()"
    outs: [other]
"""


def test_all_that_can_run_runs_and_what_ran_does_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")

    first = reproduce(tmp_path, stages=4)
    assert first.failed == ["fails"]
    assert set(first.seconds) == {"counts", "other"}
    assert first.seconds["counts"] > first.seconds["other"] > 0
    assert "exited with 3" in (tmp_path / "repro.log").read_text()

    graph = GRAPH.replace("SystemExit(3)", "SystemExit(0)")
    (tmp_path / "dvc.yaml").write_text(graph.replace("    outs: [fails]\n", ""))
    (tmp_path / "fails").touch()
    again = reproduce(tmp_path, stages=4)
    assert not again.failed
    assert set(again.seconds) == {"fails", "behind"}
    assert set(read_seconds(tmp_path)) == {"counts", "other", "fails", "behind"}
    assert read_seconds(tmp_path)["counts"] == pytest.approx(first.seconds["counts"])
