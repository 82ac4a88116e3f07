"""One name everywhere, nine a level, and no stage that goes stale in silence."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from docs.drawings.house import imports_of
from segpipe.__main__ import app
from segpipe.cli.tools import device
from segpipe.project.code import uses_networks
from segpipe.project.fingerprint import NUMERICS
from segpipe.project.params import read_params
from segpipe.segmenter.compute import ComputeParams
from tests.support.places import ROOT
from tests.support.shares import LONGEST, begin_with_the_longest

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = list(DVC)
SHARED = {"compute", "folds", "models"}  # sections and lists that stages share

MODULES = sorted(
    path.relative_to(ROOT)
    for top in ("segpipe", "flows")
    for path in (ROOT / top).rglob("*.py")
    if path.name != "__init__.py"
)
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))


def commands_of(typer: Any, group: str = "") -> Iterator[tuple[str, str]]:
    """Name and source of each command; one of the group review is ``review show``."""
    for command in typer.registered_commands:
        if command.callback is not device:  # which calls no tool
            name = command.name or command.callback.__name__
            yield group + name, inspect.getsource(command.callback)
    for below in typer.registered_groups:
        lead = f"{group}{below.name} " if isinstance(below.name, str) else group
        yield from commands_of(below.typer_instance, lead)


COMMANDS = dict(commands_of(app))
BEARING = {
    "promote": "promotion",
    "rollback": "promotion",
    "review assign": "assignment",
    "review bundle": "pages",
    "review corrections list": "apply",
    "review init": "protocol",
    "review serve": "app",
    "review users add": "users",
    "review users list": "users",
    "review users password": "users",
    "review users revoke": "users",
}
EQUALS = {"segpipe", "segpipe/networks", "segpipe/stages", "segpipe/tools"}
WITHOUT_LOGIC = {
    "flows/deployments/__main__.py",
    "flows/services/__main__.py",
    "segpipe/project/errors.py",
    "segpipe/project/paths.py",
    "segpipe/segmenter/inference/inference.py",
}
# An output that git keeps: it is read where it is written, so DVC must not empty it.
IN_GIT = [{"split.lock": {"cache": False, "persist": True}}]
OF_THE_WHOLE = {
    "test_baselines.py",
    "test_bombs.py",
    "test_by_hand.py",
    "test_colours.py",
    "test_combinations.py",
    "test_dicom_table.py",
    "test_extremes.py",
    "test_full_disk.py",
    "test_gpu.py",
    "test_instances.py",
    "test_layout.py",
    "test_makefile.py",
    "test_many_cases.py",
    "test_missing_channels.py",
    "test_nasty.py",
    "test_owners.py",
    "test_project.py",
    "test_regions.py",
    "test_reviewed.py",
    "test_staleness.py",
    "test_streaming.py",
    "test_typechecks.py",
    "test_unapproved.py",
    "test_untested.py",
    "test_wheel.py",
}


def test_the_stages_are_the_houses_and_in_their_order() -> None:
    assert STAGES == [
        "code",
        "verify",
        "split",
        "plan",
        "preprocess",
        "annotate",
        "weigh",
        "train",
        "predict",
        "evaluate",
        "report",
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_name_everywhere(stage: str) -> None:
    outs = [*DVC[stage]["outs"], *DVC[stage].get("metrics", [])]
    outs = [out for out in outs if out not in IN_GIT]

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
            assert isinstance(out, str) or out in IN_GIT


def test_the_pins_that_stages_depend_on_are_the_locks() -> None:
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (ROOT / "requirements-numerics.lock").read_text().splitlines()

    names = {pin.split("==")[0].lower() for pin in pins}
    assert names == {*NUMERICS, "monai", "simpleitk"}
    assert "|".join(sorted(names)) in (ROOT / "Makefile").read_text()
    assert set(pins) <= set(lock)
    assert not [line for line in lock if "+" in line or "==" not in line]


def test_another_engine_trains_nothing_again() -> None:
    """Trainings depend on every other key of the section, which can change them."""
    keys = {key for key in DVC["train"]["params"] if key.startswith("compute")}

    others = ComputeParams.model_fields.keys() - {"engine"}
    assert keys == {f"compute.{name}" for name in others}


def test_nine_modules_or_folders_a_level() -> None:
    """Lists of equals may be longer: floors, networks, stages, commands."""
    levels: dict[Path, set[str]] = {}
    for path in MODULES:
        for level in path.parents[:-1]:
            levels.setdefault(level, set()).add(path.relative_to(level).parts[0])

    crowded = {
        str(level): sorted(entries)
        for level, entries in levels.items()
        if len(entries) > 9 and str(level) not in EQUALS
    }
    assert not crowded


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_calls_the_file_or_folder_that_bears_its_name(command: str) -> None:
    """The command segment calls what is in the folder segmenting/."""
    word = command.split()[-1]
    names = {BEARING.get(command, word), f"{word.removesuffix('e')}ing"}

    called = [Path(*name.split(".")) for name in imports_of(COMMANDS[command])]
    files = [file for path in called for file in (path, path.parent)]
    assert any(
        (ROOT / file).with_suffix(".py").is_file() and names & set(file.parts)
        for file in files
    )


def test_a_module_has_its_test_at_the_mirrored_place() -> None:
    without = [
        str(path)
        for path in MODULES
        if str(path) not in WITHOUT_LOGIC and not (ROOT / _test_of(path)).is_file()
    ]

    assert not without, "\n".join(without)


def test_a_test_file_mirrors_a_module_or_is_of_the_whole() -> None:
    found = (ROOT / "experiments").rglob("*.py")
    experiments = [path.relative_to(ROOT) for path in found]
    mirrors = {_test_of(path) for path in [*MODULES, *experiments]}

    tests = {path for path in TESTS if path.name.startswith("test_")}
    rest = {path for path in tests - mirrors if path.parts[1] != "docs"}
    assert rest == {Path("tests", name) for name in OF_THE_WHOLE}


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("together", [(), (LONGEST[3], "tests/flows/test_watch.py")])
def test_each_worker_begins_with_its_share_of_the_longest_files(
    workers: int, together: tuple[str, ...]
) -> None:
    """As xdist cuts the list: equal parts, of what is left for those that are left.

    The files that belong together are those with which the first worker begins.
    """
    files = [str(path) for path in TESTS for _ in range(2)]
    tests = list(range(len(files)))
    ordered = begin_with_the_longest(tests, files, workers=workers, together=together)

    assert all((ROOT / name).is_file() for name in LONGEST)
    assert sorted(ordered) == tests
    left, begun = ordered, list[str]()
    for worker in range(workers):
        size = len(left) // (workers - worker)
        part, left = left[:size], left[size:]
        begun.append(files[part[0]])
    alone = [name for name in LONGEST if name not in together]
    assert begun == [*together[:1], *alone][:workers]
    head = [files[test] for test in ordered[: 2 * len(together)]]
    assert head == [name for name in together for _ in range(2)]


def test_tests_share_only_what_is_in_support() -> None:
    shared = [
        f"{path}: {name}"
        for path in TESTS
        for name in imports_of((ROOT / path).read_text())
        if name.startswith("tests.") and not name.startswith("tests.support.")
    ]

    assert not shared, "\n".join(shared)


def test_an_init_file_holds_a_docstring_only() -> None:
    for top in ("segpipe", "flows", "experiments", "benchmarks", "docs"):
        for path in (ROOT / top).rglob("__init__.py"):
            (docstring,) = ast.parse(path.read_text()).body
            assert isinstance(docstring, ast.Expr), path


def test_a_docstring_begins_with_no_other_modules_name() -> None:
    """Where it begins with a name, it is the module's, or defined in the module."""
    strange = []
    for path in MODULES:
        tree = ast.parse((ROOT / path).read_text())
        line = (ast.get_docstring(tree) or "").split("\n")[0]
        defined = [node.name for node in tree.body if hasattr(node, "name")]
        own = {name.lower() for name in (*path.with_suffix("").parts, *defined)}
        own |= {name.removesuffix("ing") for name in own}
        begins = re.match(r"(\w+): ", line)
        if begins and begins[1].lower() not in own:
            strange.append(f"{path}: {line}")

    assert not strange, "\n".join(strange)


def test_no_line_of_a_docstring_begins_with_of() -> None:
    """Nor does what is told of an argument: it begins with its subject."""
    lines = [
        f"{path}: {line.strip()}"
        for path in MODULES
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        for line in (ast.get_docstring(node) or "").splitlines()
        if re.match(r"\s*(\w+: )?Of\b", line)
    ]

    assert not lines, "\n".join(lines)


def _test_of(path: Path) -> Path:
    """tests/a/test_b.py of segpipe/a/b.py; other packages keep their name."""
    folder = path.parent
    if path.parts[0] == "segpipe":
        folder = folder.relative_to("segpipe")
    return Path("tests", folder, f"test_{path.stem.strip('_')}.py")


def test_what_benchmarks_and_experiments_import_is_there() -> None:
    """They run by hand, so that no other test misses a module that moved."""
    missing = []
    for top in ("benchmarks", "experiments"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    missing += _missing(node, path)
    assert not missing


def _missing(node: ast.ImportFrom, path: Path) -> list[str]:
    """Names of the house that a line imports and that are not there."""
    module = str(node.module)
    if module.split(".")[0] not in {"segpipe", "flows", "benchmarks", "experiments"}:
        return []
    place = ROOT.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not file.is_file():
        return [f"{path.name}: {module}"]
    names = {
        part.stem for part in place.glob("*") if part.suffix == ".py" or part.is_dir()
    } | set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    return [f"{path.name}: {a.name}" for a in node.names if a.name not in names]
