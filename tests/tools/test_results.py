"""The table in the terminal."""

from pathlib import Path

import pytest

from segpipe.evaluation.figures import Figures
from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.tools.results import results
from tests.support.evaluations import make_figures, write_figures


def write(paths: Paths, *models: Figures) -> None:
    names = ", ".join(figures.model for figures in models)
    write_text(paths.params, f"format_version: 1\nmodels: [{names}]\n")
    for figures in models:
        write_figures(paths, figures)


def test_a_line_a_model_under_its_columns(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    of_both = ("liver", "spleen")
    write(
        paths,
        make_figures(0.75, model="unet3d", structures=of_both),
        make_figures(None, model="vnet", structures=of_both),
    )

    lines = results(paths)

    assert lines[0] == "Means over 4 test cases"
    header, first, second = (line.split("  ") for line in lines[2:5])
    assert [word.strip() for word in header if word] == [
        "model",
        "Dice liver",
        "Dice spleen",
        "Dice",
        "IoU",
        "PA",
        "HD95 mm",
        "failed",
    ]
    assert [w.strip() for w in first if w][-5:] == [
        "0.750",
        "0.500",
        "0.900",
        "1.25",
        "1/8",
    ]
    assert "-" in [word.strip() for word in second]
    assert len({len(line) for line in lines[2:5]}) == 1


def test_instances_are_shown_where_there_are_some(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    counted = {"f1": 0.7, "merges": 3, "splits": 2, "n_predicted": 9}
    write(paths, make_figures(model="a", instances=counted), make_figures(model="b"))

    lines = results(paths)

    assert lines[2].split()[-4:] == ["F1", "merges", "found", "splits"]
    assert lines[3].split()[-4:] == ["0.700", "3", "9", "2"]
    assert lines[4].split()[-3:] == ["-", "-", "-"]


def test_it_says_where_to_look_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(tmp_path)
    write(paths, make_figures(model="a"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    local = "\n".join(results(paths))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")

    assert "report/index.html" in local
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in local
    assert "http://server:5000" in results(paths)[-1]


def test_without_figures_the_mend_is_said(tmp_path: Path) -> None:
    write_text(tmp_path / "params.yaml", "format_version: 1\nmodels: [a]\n")

    with pytest.raises(DataError, match="dvc repro"):
        results(Paths(tmp_path))
