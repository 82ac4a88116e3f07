"""A study's files are those of the checkout, but for stated differences."""

from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from segpipe.tools.study.files import describe_study, files_of_segpipe, files_of_user
from tests.support.places import ROOT

OURS = files_of_segpipe("liver")


def load(text: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return document


def test_the_graph_differs_in_what_the_stage_code_depends_on_and_nowhere_else() -> None:
    own = load((ROOT / "dvc.yaml").read_text())["stages"]
    study = load(OURS["dvc.yaml"])["stages"]

    assert own["code"].pop("deps") == ["segpipe", "requirements-numerics.lock"]
    assert study["code"].pop("always_changed") is True
    assert study == own


def test_the_deployments_differ_in_their_names_and_what_triggers_wait_for() -> None:
    own, study = load((ROOT / "prefect.yaml").read_text()), load(OURS["prefect.yaml"])

    assert (own.pop("name"), study.pop("name")) == ("segpipe", "liver")
    flows = [each.pop("name") for each in own["deployments"]]
    names = [each.pop("name") for each in study["deployments"]]
    assert flows == ["reproduce", "train", "retrain", "promote", "watch", "segment"]
    assert names == ["liver"] * 6
    triggers = {
        "Retrain on new data": "Retrain liver on new data",
        "Promote approved versions": "Promote approved versions of liver",
    }
    for place, (old, new) in enumerate(triggers.items(), 2):
        (before,), (after,) = (
            one["deployments"][place]["triggers"] for one in (own, study)
        )
        assert (before.pop("name"), after.pop("name")) == (old, new)
        assert before.pop("match") == {"prefect.resource.id": "segpipe.project.segpipe"}
        assert after.pop("match") == {"prefect.resource.id": "segpipe.project.liver"}
    assert study == own


@pytest.mark.parametrize("name", ["2026", "1e3", "0x1F", "on", "null", "2026-11-26"])
def test_a_name_that_yaml_would_take_for_something_else_stays_a_name(name: str) -> None:
    """Prefect reads the file with PyYAML, which knows more of these than YAML 1.2."""
    study = yaml.safe_load(files_of_segpipe(name)["prefect.yaml"])

    assert study["name"] == name
    assert [each["name"] for each in study["deployments"]] == [name] * 6
    (trigger,) = study["deployments"][2]["triggers"]
    assert trigger["name"] == f"Retrain {name} on new data"
    assert trigger["match"] == {"prefect.resource.id": f"segpipe.project.{name}"}


def test_git_ignores_in_a_study_what_a_project_makes_and_no_tool_of_developers() -> (
    None
):
    own = (ROOT / ".gitignore").read_text().splitlines()
    study = OURS[".gitignore"].splitlines()

    assert study == own[: len(study)]
    assert {"/data/", "/artifacts/", "/.services/", "/mlflow.db"} <= set(study)
    assert not [line for line in study if "ruff" in line or "egg" in line]


@pytest.mark.parametrize("git", [True, False])
def test_dvc_is_told_whether_there_is_git(git: bool) -> None:
    config = files_of_user("liver", git=git)[".dvc/config"]

    assert ("no_scm = true" in config) is not git
    assert "analytics = false" in config


def test_no_file_of_a_study_names_what_it_has_not() -> None:
    """A study has neither a Makefile nor the documentation nor the code."""
    for name, text in {**OURS, **files_of_user("liver", git=True)}.items():
        assert "`make " not in text, name
        assert ".py:" not in text, name
        assert "presets/" not in text, name


def test_a_study_knows_the_digest_of_each_file_that_follows_segpipe() -> None:
    study = describe_study("liver", OURS)

    assert study.name == "liver"
    assert set(study.files) == {"dvc.yaml", "prefect.yaml", ".dvcignore", ".gitignore"}
