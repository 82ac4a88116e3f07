from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.params import Params, read_params, read_section


class Example(Params):
    rate: float
    steps: int
    size: tuple[int, int]


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text("format_version: 1\n" + text)
    return path


def test_yaml_is_read_as_dvc_reads_it(tmp_path) -> None:
    """YAML 1.2: for PyYAML 1e-3 is a word, on is true and 012 is ten."""
    path = write(tmp_path, "a: 1e-3\nb: on\nc: 012\n")

    assert read_params(path) == {
        "format_version": 1,
        "a": 0.001,
        "b": "on",
        "c": 12,
    }


def test_a_section_becomes_frozen_values(tmp_path) -> None:
    path = write(tmp_path, "example: {rate: 1, steps: 2, size: [3, 4]}")

    assert read_section(path, "example", Example) == Example(
        rate=1.0, steps=2, size=(3, 4)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{rate: 1, steps: 2}", "size: Field required"),
        ("{rate: 1, steps: 2, size: [1, 2], stepz: 3}", "stepz: Extra inputs"),
        ("{rate: fast, steps: 2, size: [1, 2]}", 'rate: .*found "fast"'),
        ("{rate: 1, steps: 2.5, size: [1, 2]}", "steps: .*found 2.5"),
        ("{rate: 1, steps: 2, size: [1]}", "size.1"),
    ],
)
def test_a_wrong_section_names_file_key_and_value(tmp_path, text, words) -> None:
    path = write(tmp_path, f"example: {text}")

    with pytest.raises(
        DataError, match=rf"(?s)params\.yaml, section example:.*{words}"
    ):
        read_section(path, "example", Example)


def test_all_faults_come_at_once(tmp_path) -> None:
    path = write(tmp_path, "example: {rate: x, steps: y, size: z}")

    with pytest.raises(DataError) as caught:
        read_section(path, "example", Example)

    assert all(f"  {key}: " in str(caught.value) for key in ("rate", "steps", "size"))


def test_a_missing_file_or_section_says_where_to_get_one(tmp_path) -> None:
    with pytest.raises(DataError, match="segpipe preset"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(
        DataError, match="expected a section example, found format_version, other"
    ):
        read_section(write(tmp_path, "other: {}"), "example", Example)
    with pytest.raises(DataError, match="expected YAML"):
        read_params(write(tmp_path, "a: [1"))


@pytest.mark.parametrize("version", ["", "format_version: 2\n"])
def test_params_of_another_version_are_refused_with_a_clear_word(
    version: str, tmp_path: Path
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(version + "a: 1\n")

    with pytest.raises(DataError, match="expected format_version: 1, found"):
        read_params(path)


@pytest.mark.parametrize("name", ["unet2d", "a-0", "_x", "größe", "UNet_3D-v2", "'1'"])
def test_a_model_may_be_called_by_letters_digits_hyphens_and_underscores(
    tmp_path, name
) -> None:
    path = write(tmp_path, f"models: [{name}]")

    assert read_params(path)["models"] == [name.strip("'")]


@pytest.mark.parametrize(
    "name",
    ["unet3d_v1.1", "my model", "x@y", "a/b", "..", "", "-x", "a:b", "a$b", "a,b"],
)
def test_a_name_that_dvc_or_a_path_reads_otherwise_is_refused(tmp_path, name) -> None:
    """DVC said "Parameters 'train.unet3d_v1.1' are missing", for example."""
    path = write(tmp_path, f'models: [unet2d, "{name}"]')

    with pytest.raises(
        DataError, match="models: expected a name of letters, digits, - and _, found"
    ) as error:
        read_params(path)

    assert f'found "{name}"; rename it there and in train' in str(error.value)


@pytest.mark.parametrize("name", ["image", "reference", "figure"])
def test_a_model_is_not_called_as_another_column_of_the_report(tmp_path, name) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"format_version: 1\nmodels: [{name}]\n")

    with pytest.raises(DataError, match=f"columns of the report, found {name}"):
        read_params(path)
