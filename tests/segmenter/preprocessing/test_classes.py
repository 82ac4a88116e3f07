"""Classes are the data set's values, and come out as these again."""

import numpy as np
import pytest

from segpipe.project.errors import DataError
from segpipe.segmenter.preprocessing.classes import classes_of, values_of
from tests.support.preparing import plan
from tests.support.segmenters import NONE


def test_original_values_come_out_again() -> None:
    values = np.array([0, 2, 7, 255, 7]).reshape(5, 1, 1)
    classes = classes_of(values, plan((1.0, 1.0, 1.0), NONE))

    assert classes.ravel().tolist() == [0, 1, 2, -1, 2]
    back = values_of(classes[[0, 1, 2, 4]], plan((1.0, 1.0, 1.0), NONE))
    assert back.ravel().tolist() == [0, 2, 7, 7]


def test_an_unknown_value_is_refused_with_the_known_ones() -> None:
    values = np.array([0, 3, 2]).reshape(3, 1, 1)

    with pytest.raises(DataError, match=r"\[0, 2, 7, 255\].*found \[3\]"):
        classes_of(values, plan((1.0, 1.0, 1.0), NONE))
