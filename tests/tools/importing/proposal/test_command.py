"""A proposal is a command that gives the same options back."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.project.errors import DataError
from segpipe.tools.importing import run
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.command import format_command

OPTIONS = {
    "folders": ImportOptions(images="a b", labels="l", structures={"x y": 1}),
    "patterns": ImportOptions(
        images="{case}/{channel}.nii.gz",
        labels="{case}_{observer}.png",
        channels=("T1", "T2"),
        reference="1stHO",
        structures={"kidney": ("left", "right"), "background": ("*",)},
    ),
    "all others": ImportOptions(
        images="i",
        labels="l",
        channel_suffixes=("a", "b"),
        label_suffix="_x",
        ignore=255,
        binarize=127.5,
        overlap="last",
        instances=True,
        spacing_mm=(0.5, 0.25),
        grey=True,
        image_key="r",
        label_key="l",
        patients=Path("p.csv"),
        patient_pattern="(.+)[LR]",
        replace=True,
        add=True,
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_command_gives_the_same_options_back(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    def note(*given: Any) -> str:
        seen.append(given)
        raise DataError("noted")

    monkeypatch.setattr(run, "import_dataset", note)
    line = format_command(Path("~/my study"), Path("data"), OPTIONS[name])
    CliRunner().invoke(app, shlex.split(line)[1:])

    assert seen == [(Path("~/my study"), Path("data"), OPTIONS[name])]


def test_the_usual_data_folder_is_not_said() -> None:
    assert format_command(Path("s"), Path("data"), ImportOptions()) == (
        "segpipe import s"
    )
    assert format_command(Path("s"), Path("d"), ImportOptions()) == (
        "segpipe import s d"
    )
