"""The name of a project, and the segpipe that works there."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.origin.study import (
    Study,
    code_tags,
    digest_text,
    in_checkout,
    project_name,
    read_study,
    shipped,
)
from tests.support.places import ROOT


def test_a_project_that_is_no_study_is_called_segpipe(tmp_path: Path) -> None:
    """As the experiment of MLflow was called before there were studies."""
    assert read_study(tmp_path) is None
    assert project_name(tmp_path) == "segpipe"


def test_a_study_is_called_what_its_file_says(tmp_path: Path) -> None:
    Study(format_version=1, name="liver", segpipe="0.1.0", files={}).write(
        tmp_path / "study.json"
    )

    assert project_name(tmp_path) == "liver"


def test_a_study_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"name": "liver"}')

    with pytest.raises(DataError, match=r"study\.json: expected a Study"):
        project_name(tmp_path)


def test_a_checkout_ships_the_files_of_its_root() -> None:
    assert in_checkout()
    assert shipped("dvc.yaml") == ROOT / "dvc.yaml"


def test_the_code_is_named_by_its_version_and_every_byte() -> None:
    """The digest is that of `sha256sum` over the modules, as sorted JSON."""
    package = ROOT / "segpipe"
    sums = {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*.py")
    }
    text = json.dumps(sums, sort_keys=True, separators=(",", ":"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert code_tags() == {
        "segpipe.version": project["version"],
        "segpipe.code": hashlib.sha256(text.encode()).hexdigest(),
    }


def test_the_digest_of_a_text_is_that_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("Größe\n", encoding="utf-8")

    assert digest_text("Größe\n") == hashlib.sha256("Größe\n".encode()).hexdigest()
