"""One name everywhere, and no stage that goes stale in silence."""

import pytest
from ruamel.yaml import YAML

from segpipe.project.code import uses_networks
from segpipe.project.fingerprint import NUMERICS
from segpipe.project.params import read_params
from tests.support.places import ROOT

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = list(DVC)
WITHOUT_LOGIC = {"__init__.py", "errors.py", "paths.py"}
SHARED = {"compute", "folds", "models"}  # sections and lists that stages share


def test_the_stages_are_the_houses_and_in_their_order() -> None:
    assert STAGES == [
        "code",
        "verify",
        "split",
        "plan",
        "preprocess",
        "weigh",
        "annotate",
        "train",
        "predict",
        "evaluate",
        "report",
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_name_everywhere(stage: str) -> None:
    outs = [*DVC[stage]["outs"], *DVC[stage].get("metrics", [])]

    assert DVC[stage]["cmd"].startswith(f"python -m segpipe {stage}")
    assert (ROOT / "segpipe" / "stages" / f"{stage}.py").is_file()
    assert (ROOT / "tests" / "stages" / f"test_{stage}.py").is_file()
    assert all(out.startswith(f"artifacts/{stage}") for out in outs)
    sections = {name.split(".")[0] for name in DVC[stage]["params"]}
    if stage != "code":  # which has no params of its own
        assert stage in read_params(ROOT / "params.yaml")
        assert stage in sections
    assert sections - SHARED <= {stage, "train"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_digest_of_its_code_and_on_no_source(stage: str) -> None:
    """Models of a stage behind which networks stand have a file of their own."""
    deps = DVC[stage]["deps"]

    of_model = "matrix" in DVC[stage] and uses_networks(f"segpipe.stages.{stage}")
    name = f"{stage}/${{item.model}}" if of_model else stage
    assert [dep for dep in deps if dep.startswith("artifacts/code")] == (
        [] if stage == "code" else [f"artifacts/code/{name}.json"]
    )
    sources = [dep for dep in deps if dep.startswith(("segpipe", "requirements"))]
    assert sources == (
        ["segpipe", "requirements-numerics.lock"] if stage == "code" else []
    )


def test_the_chain_fits_on_two_screens() -> None:
    text = (ROOT / "dvc.yaml").read_text()

    assert len(text.splitlines()) <= 150
    assert ".py" not in text


def test_nothing_that_a_stage_reads_comes_from_a_later_one() -> None:
    for place, stage in enumerate(STAGES):
        for dep in DVC[stage]["deps"]:
            if dep.startswith("artifacts/"):
                assert dep.split("/")[1] in STAGES[:place]


def test_everything_that_a_stage_writes_is_cached() -> None:
    """The run-cache restores a stage elsewhere only if all its outs are cached."""
    for stage in DVC.values():
        for out in [*stage["outs"], *stage.get("metrics", [])]:
            assert isinstance(out, str)


def test_the_pins_that_stages_depend_on_are_the_locks() -> None:
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (ROOT / "requirements-numerics.lock").read_text().splitlines()

    names = {pin.split("==")[0].lower() for pin in pins}
    assert names == {*NUMERICS, "monai", "simpleitk"}
    assert "|".join(sorted(names)) in (ROOT / "Makefile").read_text()
    assert set(pins) <= set(lock)
    assert not [line for line in lock if "+" in line or "==" not in line]


def test_every_module_has_its_test() -> None:
    without = [
        path.relative_to(ROOT / "segpipe")
        for path in (ROOT / "segpipe").rglob("*.py")
        if path.name not in WITHOUT_LOGIC
        and not (
            ROOT
            / "tests"
            / path.relative_to(ROOT / "segpipe").parent
            / f"test_{path.name.removeprefix('__').replace('__.py', '.py')}"
        ).is_file()
    ]

    assert not without
