"""What an update makes stale is named before it runs, and no edit is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from segpipe.project.errors import DataError
from segpipe.project.origin.study import read_study
from segpipe.project.paths import Paths
from segpipe.stages import code
from segpipe.tools.study import init, upgrade

MODELS = {"flat": "unet2d", "deep": "unet3d"}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A study in which the stage code has run."""
    monkeypatch.setattr(init.shutil, "which", lambda name: None)  # quick: no git
    init.init(tmp_path / "liver")
    paths = Paths(tmp_path / "liver")
    code.run(networks=MODELS, paths=paths)
    return paths


def said(paths: Paths, *, rewrite: bool = False) -> list[str]:
    return list(upgrade.upgrade(paths, MODELS, rewrite=rewrite))


def change(name: str, key: str, value: str) -> Callable[[Paths], None]:
    """An older segpipe: another module or package stood behind a stage."""

    def act(paths: Paths) -> None:
        for file in code.code_folder(paths).rglob("*.json"):
            document = json.loads(file.read_text())
            if name in document[key]:
                document[key][name] = value
                file.write_text(json.dumps(document))

    return act


def forget(paths: Paths) -> None:
    (code.code_folder(paths) / "verify.json").unlink()


@pytest.mark.parametrize(
    ("act", "changed", "stale", "behind"),
    [
        pytest.param(
            change("segpipe.networks.unet3d", "modules", "old"),
            ["segpipe.networks.unet3d"],
            ["plan", "train@deep", "predict@deep", "report"],
            ["preprocess", "annotate", "weigh", "evaluate"],
            id="a network: plan and report know all networks",
        ),
        pytest.param(
            change("segpipe.training.losses", "modules", "old"),
            ["segpipe.training.losses"],
            ["train@flat", "train@deep"],
            ["predict", "evaluate", "report"],
            id="a loss: the trainings",
        ),
        pytest.param(
            change("segpipe.evaluation.report.page", "modules", "old"),
            ["segpipe.evaluation.report.page"],
            ["report"],
            [],
            id="the page: the report",
        ),
        pytest.param(forget, ["a stage or model is new"], ["verify"], None, id="new"),
    ],
)
def test_the_stages_are_named_that_run_the_changed_code(
    paths: Paths,
    act: Callable[[Paths], None],
    changed: list[str],
    stale: list[str],
    behind: list[str] | None,
) -> None:
    act(paths)
    lines = said(paths)

    assert [x[9:] for x in lines if x.startswith("changed:")] == changed
    (names,) = [x[9:] for x in lines if x.startswith("stale:")]
    assert names.split(", ") == stale
    later = [x[9:].split(";")[0] for x in lines if x.startswith("behind:")]
    if behind is not None:
        assert later == ([", ".join(behind)] if behind else [])


def test_a_package_is_named_with_both_versions(paths: Paths) -> None:
    change("numpy", "packages", "1.0")(paths)

    (line,) = [x for x in said(paths) if x.startswith("changed:")]
    assert line.startswith("changed: numpy 1.0 -> ")


def test_what_is_the_same_and_what_never_ran_is_not_stale(paths: Paths) -> None:
    assert "nothing becomes stale" in said(paths)[1]
    for file in sorted(paths.artifacts.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()

    assert said(paths)[1] == "code: no stage has run yet, so nothing becomes stale"


def test_values_that_came_and_went_are_named_and_the_mend_mends(paths: Paths) -> None:
    yaml = YAML(pure=True)
    document: dict[str, Any] = yaml.load(paths.params)
    del document["predict"]["mirror"], document["train"]["vnet"]["loss"]["reduction"]
    document["evaluate"]["old"] = 1
    yaml.dump(document, paths.params)

    faults = [x for x in said(paths) if x.startswith(f"{paths.params}, ")]
    lead = f"{paths.params}, "
    assert [fault.removeprefix(lead) for fault in faults] == [
        "predict.mirror: missing; add it, in the preset phantom it is false",
        "evaluate.old: no longer read; delete it",
        "train.vnet.loss.reduction: missing; add it, in the preset phantom it is "
        '"mean"',
    ]
    document["predict"]["mirror"] = False
    document["train"]["vnet"]["loss"]["reduction"] = "mean"
    del document["evaluate"]["old"]
    yaml.dump(document, paths.params)
    assert not [x for x in said(paths) if x.startswith(lead)]


def test_a_file_that_nobody_edited_is_rewritten_when_told_so(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next segpipe writes another dvc.yaml."""
    file, now = paths.root / "dvc.yaml", upgrade.files_of_segpipe("liver")
    newer = {**now, "dvc.yaml": f"{now['dvc.yaml']}# newer\n"}
    monkeypatch.setattr(upgrade, "files_of_segpipe", lambda name: newer)

    assert "dvc.yaml: segpipe has another one now; --yes rewrites it" in said(paths)
    assert file.read_text() == now["dvc.yaml"]
    assert "dvc.yaml: rewritten" in said(paths, rewrite=True)
    assert file.read_text() == newer["dvc.yaml"]
    assert "dvc.yaml: up to date" in said(paths)


@pytest.mark.parametrize("edited", [False, True])
def test_what_a_new_graph_asks_for_is_named_unless_the_old_one_stays(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, edited: bool
) -> None:
    """Before and after the file is rewritten, until DVC has run the stage."""
    now = upgrade.files_of_segpipe("liver")
    newer = now["dvc.yaml"].replace("params: [evaluate]", "params: [compute, evaluate]")
    assert newer != now["dvc.yaml"]
    monkeypatch.setattr(
        upgrade, "files_of_segpipe", lambda name: {**now, "dvc.yaml": newer}
    )
    write_lock(paths, now["dvc.yaml"])
    if edited:
        with (paths.root / "dvc.yaml").open("a") as file:
            file.write("# mine\n")

    for rewrite in (False, True, False):
        lines = said(paths, rewrite=rewrite)
        told = [x for x in lines if x.startswith(("changed:", "stale:", "behind:"))]
        assert (
            told == []
            if edited
            else [
                "changed: dvc.yaml, evaluate: reads compute of params.yaml",
                "stale:   evaluate",
                "behind:  report; they run again if their inputs change",
            ]
        )


def write_lock(paths: Paths, graph: str) -> None:
    """What dvc.lock lists of the stage evaluate of one model after it has run."""
    stage = YAML(typ="safe", pure=True).load(graph)["stages"]["evaluate"]
    text = json.dumps(stage).replace("${item.model}", "unet2d")
    one = json.loads(text)
    locked = {
        "cmd": one["cmd"],
        "deps": [{"path": path} for path in one["deps"]],
        "params": {"params.yaml": dict.fromkeys(one["params"])},
        "outs": [{"path": path} for path in [*one["outs"], *one["metrics"]]],
    }
    document = {"schema": "2.0", "stages": {"evaluate@unet2d": locked}}
    (paths.root / "dvc.lock").write_text(json.dumps(document))


def test_a_file_that_somebody_edited_stays_and_the_difference_is_shown(
    paths: Paths,
) -> None:
    file = paths.root / "prefect.yaml"
    file.write_text(file.read_text().replace("interval: 300", "interval: 60"))
    lines = said(paths, rewrite=True)

    assert "prefect.yaml: edited here, so it stays; to follow segpipe, change" in lines
    assert "-        interval: 60" in lines
    assert "+        interval: 300" in lines
    assert "interval: 60" in file.read_text()
    study = read_study(paths.root)
    assert study is not None
    assert "edited here" in "\n".join(said(paths))


def test_a_checkout_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"study\.json: expected a study"):
        said(Paths(tmp_path))
