"""The types and shapes of segpipe's signatures are checked in every test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from jaxtyping import Float32

from segpipe.evaluation.measures.metrics import dice
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from tests.support.typechecks import needs_axes

Image = Float32[np.ndarray, "i j k"]
MISTAKE = "[Tt]ype-check error|violates type hint"


def test_arrays_must_share_the_axes_of_a_signature() -> None:
    mask = np.ones((4, 5, 6), dtype=bool)
    assert dice(mask, mask) == 1

    with pytest.raises(Exception, match=MISTAKE):
        dice(mask, mask[1:])


def test_an_argument_of_another_type_is_refused(tmp_path: Path) -> None:
    """Fields, functions without arrays and functions with some refuse it alike."""
    wrong: Any = str(tmp_path)

    with pytest.raises(Exception, match=MISTAKE):
        Paths(wrong)
    with pytest.raises(Exception, match=MISTAKE):
        digest_file(wrong)
    with pytest.raises(Exception, match=MISTAKE):
        dice(wrong, wrong)


def plain(path: Path, kind: Literal["mm", "px"]) -> dict[str, int]:
    return {f"{path} {kind}": 1}


def given(image: Image) -> None: ...


def returned() -> list[Image]:
    return []


def either(image: dict[str, Image | None]) -> None: ...


def named(image: "Image") -> None: ...


def inside(image: object) -> bool:
    return isinstance(image, Image)


def yielded() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [given, returned, either, named, inside, yielded])
def test_axes_are_seen_wherever_a_function_has_them(function: Any) -> None:
    """And what might hide some is taken for it."""
    assert needs_axes(function)
    assert not needs_axes(plain)
