"""The command, the flow and the manifest share the settings and their defaults."""

import inspect
import json
import subprocess
import sys
from typing import get_type_hints

import pytest
from pydantic import ValidationError

from flows.segment import segment as flow
from segpipe.cli.tools import segment as command
from segpipe.registry.mlflow_model.serving import default_inference
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.exporting.export import RUNNER
from tests.support.places import ROOT

RESOLVED = SegmentSettings(
    device="cpu",
    precision="fp32",
    skip_empty="never",
    coarse="never",
    spacing_mm=(0.5, 0.25),
)


def test_the_manifest_keeps_its_keys_and_values() -> None:
    """A change would change the keys of cases, so that all are segmented again."""
    assert RESOLVED.to_json() == {
        "overlap_fraction": 0.5,
        "blending": "gaussian",
        "memory_gb": 4.0,
        "mirror": False,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "probabilities": False,
        "uncertainty": False,
        "instances": False,
        "overlay": True,
        "spacing_mm": "0.5,0.25",
        "resample_tilt": False,
    }


def test_what_is_skipped_is_told_and_what_never_is_is_not() -> None:
    skipping = RESOLVED.model_copy(update={"skip_empty": "auto"})

    assert skipping.to_json() == {**RESOLVED.to_json(), "skip_empty": "auto"}
    partly = RESOLVED.model_copy(update={"coarse": "auto"})
    assert partly.to_json() == {**RESOLVED.to_json(), "coarse": "auto"}


def test_no_spacing_is_an_empty_text() -> None:
    none = RESOLVED.model_copy(update={"spacing_mm": None})

    assert none.to_json()["spacing_mm"] == ""


def test_the_manifest_names_what_ran_and_not_auto() -> None:
    with pytest.raises(AssertionError):
        SegmentSettings().to_json()
    with pytest.raises(AssertionError):
        RESOLVED.model_copy(update={"engine": "auto"}).to_json()


def test_another_engine_is_another_key() -> None:
    other = RESOLVED.model_copy(update={"engine": "openvino"})

    assert other.to_json() == {**RESOLVED.to_json(), "engine": "openvino"}


def test_the_command_has_the_defaults_of_the_settings() -> None:
    """Except threads: the command runs one case at a time, which may use all cores."""
    options = inspect.signature(command).parameters
    for name, field in SegmentSettings.model_fields.items():
        expected = 0 if name == "threads" else field.default
        assert options[name].default == expected


def test_the_flow_offers_every_setting_in_words() -> None:
    schema = flow.parameters.model_dump()["definitions"]["SegmentSettings"]

    assert set(schema["properties"]) == set(SegmentSettings.model_fields)
    assert all(one["description"] for one in schema["properties"].values())


def test_a_registered_segmenter_runs_by_the_same_defaults() -> None:
    settings, inference = SegmentSettings(), default_inference()

    assert inference.overlap_fraction == settings.overlap_fraction
    assert inference.memory_gb == settings.memory_gb
    assert inference.mirror == settings.mirror
    assert inference.skip_empty == settings.skip_empty


def test_a_list_from_a_form_is_a_spacing() -> None:
    given = json.loads('{"spacing_mm": [0.5, 0.25], "overlap_fraction": 0}')

    settings = SegmentSettings.model_validate(given)

    assert settings.spacing_mm == (0.5, 0.25)
    assert repr(settings.overlap_fraction) == "0.0"
    assert SegmentSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap_fraction": 0.95},
        {"memory_gb": "4"},
        {"device": "gpu"},
        {"threads": 0},
        {"spacing_mm": [1.0]},
        {"blending": "constant"},
    ],
)
def test_what_is_wrong_or_unknown_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SegmentSettings.model_validate(wrong)


def test_the_defaults_are_read_without_torch() -> None:
    """The command line shows them in --help."""
    code = (
        "import sys, segpipe.segmenter.settings; "
        "sys.exit(bool({'torch', 'numpy', 'mlflow'} & set(sys.modules)))"
    )

    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=ROOT, timeout=120).returncode == 0


def test_the_command_has_the_bounds_of_the_settings() -> None:
    options = get_type_hints(command, include_extras=True)
    for name in ("overlap_fraction", "memory_gb"):
        (option,) = options[name].__metadata__
        field = SegmentSettings.model_fields[name]
        bounds = {type(one).__name__: one for one in field.metadata}
        assert option.min == bounds["Ge"].ge
        assert option.max == (bounds["Le"].le if "Le" in bounds else None)


def test_the_exported_runner_has_the_overlap_of_the_settings() -> None:
    """The runner works without segpipe, so it has the number itself."""
    default = f'"--overlap", type=float, default={SegmentSettings().overlap_fraction}'

    assert default in RUNNER.read_text()
