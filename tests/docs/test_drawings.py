"""The drawings show the code as it is, and need nothing to be shown."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.drawings.__main__ import FOLDER, build
from docs.drawings.chain import read_chain
from docs.drawings.focal import GAMMAS, curve
from docs.drawings.house import read_house
from docs.drawings.picture import Row, draw
from tests.support.places import ROOT

STAGES = """
stages:
  code: {deps: [segpipe], outs: [artifacts/code]}
  verify: {deps: [data, artifacts/code/verify.json], outs: [artifacts/verify]}
  train:
    matrix: {model: "${models}", fold: "${folds}"}
    deps: [artifacts/verify, "artifacts/code/train/${item.model}.json"]
    params: ["train.${item.model}"]
    outs: ["artifacts/train/${item.model}/${item.fold}"]
"""


@pytest.mark.parametrize("name", ["house.svg", "chain.svg", "focal.svg"])
def test_a_drawing_shows_the_code_as_it_is(name: str) -> None:
    drawn = (FOLDER / name).read_text(encoding="utf-8")

    assert drawn == build()[name], (
        "make drawings, or python -m docs.drawings, renews it"
    )


@pytest.mark.parametrize("read", [read_house, read_chain])
def test_shafts_run_down_only(read: Callable[[Path], list[Row]]) -> None:
    rows = read(ROOT)

    places = {row.name: place for place, row in enumerate(rows)}
    assert len(places) == len(rows)
    for row in rows:
        assert all(places[stop] > places[row.name] for stop in row.stops)


def test_guests_are_drawn_where_they_are_at_home() -> None:
    rows = {row.name: row for row in read_house(ROOT)}

    words = {
        name: [w for line in row.lines for w in line] for name, row in rows.items()
    }
    at_home = {
        (name, *word.text.split()[:1], guest)
        for name in words
        for word in words[name]
        for guest in ([word.text] if word.kind == "guest" else word.guests)
    }
    assert at_home >= {
        ("flows", "prefect", "prefect"),
        ("registry", "mlflow", "mlflow"),
        ("images", "formats", "nibabel"),
        ("images", "formats", "SimpleITK"),
        ("images", "dicom", "pydicom"),
        ("images", "dicom", "highdicom"),
    }


def test_a_new_stage_is_drawn_and_what_all_need_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(STAGES)
    stages = tmp_path / "segpipe" / "stages"
    stages.mkdir(parents=True)
    for name in ("code", "verify", "train"):
        (stages / f"{name}.py").write_text(f'"""{name}: does something."""\n')

    code, data, verify, train = read_chain(tmp_path)
    svg = draw("Title", "a < b", {}, [code, data, verify, train])

    assert (code.name, code.shape, code.stops) == ("code", "quiet", {})
    assert (data.name, data.stops) == ("data", {"verify": 1})
    assert (verify.text, verify.stops) == ("Does something.", {"train": 1})
    assert (train.below, train.cards) == ("model \u00d7 fold", 2)
    texts = [node.text for node in ElementTree.fromstring(svg).iter() if node.text]
    assert {"train.MODEL", "train/MODEL/FOLD", "a < b"} <= set(texts)


def test_the_drawings_need_no_other_file() -> None:
    for svg in build().values():
        outside = svg.replace('xmlns="http://www.w3.org/2000/svg"', "")

        assert not [
            sign for sign in ("http", "url(", "href", "@import") if sign in outside
        ]


def test_the_curves_of_the_focal_loss_fall_with_gamma() -> None:
    """At p = 1/2: ln 2 / 2^gamma; gamma 0 is -ln p.

    Seeds: L4.
    """
    shares = [0.05, 0.5, 0.95]
    curves = [curve(gamma, shares) for gamma in GAMMAS]

    assert curves[0] == pytest.approx([-math.log(share) for share in shares], rel=1e-4)
    for gamma, losses in zip(GAMMAS, curves, strict=True):
        assert losses[1] == pytest.approx(math.log(2) / 2**gamma, rel=1e-4)
        assert losses == sorted(losses, reverse=True)
    for higher, lower in itertools.pairwise(curves):
        assert all(one > other for one, other in zip(higher, lower, strict=True))
