import ast
import textwrap

import pytest

from segpipe.project.code import code_behind, digest_source, uses_networks
from tests.support.places import ROOT

SOURCE = """
    def area(radius: float) -> float:
        return 3.14 * radius**2


    class Ball:
        radius: float = 1.0
    """
SAME = """
    '''A module about balls.'''

    # The number pi.
    def area(
        radius: float,
    ) -> float:
        "The area of a disk."
        return (3.14 * radius ** 2)  # rounded
    class Ball:
        'A ball.'

        radius: float = 1.0
        'Radius in mm.'
    """


def digest(source: str) -> str:
    return digest_source(textwrap.dedent(source))


def test_comments_docstrings_and_layout_change_no_digest() -> None:
    assert digest(SAME) == digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3.14", "3.15"),
        ("1.0", "1"),
        ("radius**2", "radius*2"),
        ("Ball", "Disk"),
        ("-> float", "-> int"),
        ("return 3.14 * radius**2", "return\n        3.14 * radius**2"),
    ],
)
def test_whatever_else_changes_it(old: str, new: str) -> None:
    assert digest(SOURCE.replace(old, new)) != digest(SOURCE)


def test_python_and_the_digest_agree_on_what_is_the_same_in_every_module() -> None:
    """A source that Python writes anew from its own tree has another layout only."""
    for path in (ROOT / "segpipe").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert digest_source(text) == digest_source(ast.unparse(ast.parse(text)))


def test_imports_are_followed_to_the_ground() -> None:
    behind = code_behind("segpipe.stages.weigh")

    assert {
        "segpipe.stages.weigh",
        "segpipe.images.borders",
        "segpipe.project.params",
    } <= set(behind)
    assert "segpipe.training.losses" not in behind


def test_packages_and_modules_without_influence_are_left_out() -> None:
    behind = code_behind("segpipe.stages.train")

    assert "segpipe.networks" not in behind
    assert "segpipe.project.errors" not in behind
    assert "segpipe.registry.runs" not in behind


def test_only_the_networks_that_are_named_stand_behind_a_training() -> None:
    behind = code_behind("segpipe.stages.train", networks=["vnet"])

    assert {"segpipe.networks.vnet", "segpipe.networks.layers"} <= set(behind)
    assert "segpipe.networks.unet2d" not in behind
    assert "segpipe.networks.catalogue" not in behind


def test_a_stage_uses_networks_if_the_catalogue_stands_behind_it() -> None:
    assert uses_networks("segpipe.stages.train")
    assert not uses_networks("segpipe.stages.evaluate")
