"""Which voxels count as labelled."""

import json
from pathlib import Path

import numpy as np
import pytest

from segpipe.project.documents import write_json
from segpipe.project.paths import Paths
from segpipe.stages import annotate
from segpipe.stages.annotate import choose_voxels
from tests.support.phantoms import ball
from tests.support.projects import ANNOTATE, changed


def volume() -> np.ndarray:
    label = np.zeros((20, 18, 16), dtype=np.int16)
    label[ball(5, shape=label.shape, center=(12, 9, 8))] = 1
    return label


@pytest.mark.parametrize("rule", ["evenly", "content", "random"])
@pytest.mark.parametrize("slices", [(0, 0, 3), (2, 0, 0), (3, 2, 1), (99, 0, 0)])
def test_so_many_whole_slices_are_chosen_along_each_axis(
    rule: str, slices: tuple[int, int, int]
) -> None:
    label = volume()
    chosen = choose_voxels(label, changed(ANNOTATE, rule=rule, slices=slices), case="a")

    whole = [
        int(chosen.all(axis=tuple(n for n in range(3) if n != axis)).sum())
        for axis in range(3)
    ]
    if slices == (99, 0, 0):
        assert chosen.all()
    else:
        assert whole == list(slices)


def test_all_is_all_that_is_annotated() -> None:
    label = volume()
    label[:3] = -1
    chosen = choose_voxels(label, changed(ANNOTATE, rule="all"), case="a")

    assert np.array_equal(chosen, label >= 0)


@pytest.mark.parametrize("rule", ["all", "evenly", "content", "random"])
def test_what_nobody_annotated_never_counts(rule: str) -> None:
    label = volume()
    label[np.random.default_rng(0).random(label.shape) < 0.5] = -1
    params = changed(ANNOTATE, rule=rule, slices=(3, 3, 3))

    chosen = choose_voxels(label, params, case="a")
    assert not chosen[label < 0].any()
    assert chosen.any()


def test_by_content_the_slices_hold_what_there_is_to_see() -> None:
    params = changed(ANNOTATE, rule="content", slices=(1, 1, 1))
    chosen = choose_voxels(volume(), params, case="a")

    assert chosen[12].all()
    assert chosen[:, 9].all()
    assert chosen[:, :, 8].all()


def test_evenly_is_the_middle_of_equal_parts() -> None:
    params = changed(ANNOTATE, rule="evenly", slices=(4, 0, 0))
    chosen = choose_voxels(volume(), params, case="a")

    assert np.flatnonzero(chosen[:, 0, 0]).tolist() == [2, 7, 12, 17]


def test_random_slices_differ_between_cases_and_not_between_runs() -> None:
    params = changed(ANNOTATE, rule="random", slices=(4, 4, 4))
    one, again, other = (
        choose_voxels(volume(), params, case=case) for case in ("a", "a", "b")
    )

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_share_that_is_written_is_the_share_that_counts(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    folder = paths.artifacts / "preprocess" / "a"
    folder.mkdir(parents=True)
    np.save(folder / "label.npy", volume())
    write_json(folder.parent / "index.json", {"format_version": 1, "cases": {"a": "k"}})
    annotate.run(changed(ANNOTATE, rule="evenly", slices=(0, 0, 4)), paths=paths)

    shares = json.loads((paths.artifacts / "annotate" / "shares.json").read_text())
    assert shares["shares"] == {"a": 0.25}
    known = np.load(paths.artifacts / "annotate" / "a.npy")
    assert (known >= 0).mean() == 0.25
    assert (known[known >= 0] == volume()[known >= 0]).all()


def test_a_2d_image_is_annotated_as_a_whole() -> None:
    label = np.zeros((8, 8, 1), dtype=np.int16)

    assert choose_voxels(label, ANNOTATE, case="a").all()
