"""Options that DICOM leaves no choice for are refused, and so are contradictions."""

from pathlib import Path

import pytest

from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import read_label
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from tests.support.labelled_dicoms import NAMES, add_seg, add_series, drawn
from tests.support.phantoms import write_dataset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    add_seg(folder / "seg.dcm", add_series(folder / "ct", 1), drawn())
    return folder


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ImportOptions(spacing_mm=(1.0, 1.0, 1.0)), "--spacing-mm.*its own spacing"),
        (ImportOptions(instances=True), "--instances.*not instance ids"),
        (ImportOptions(ignore=9), "--ignore.*not annotated"),
        (ImportOptions(grey=True), "--grey.*one channel"),
        (ImportOptions(image_key="x"), "--image-key.*HDF5"),
        (ImportOptions(label_key="x"), "--label-key.*HDF5"),
        (ImportOptions(channel_suffixes=("a",)), "--channel-suffix: .*headers"),
        (ImportOptions(label_suffix="a"), "--label-suffix.*headers"),
        (ImportOptions(patients=Path("who.csv")), "--patients.*PatientID"),
        (ImportOptions(patient_pattern="(.)"), "--patient-pattern.*PatientID"),
        (ImportOptions(channels=("a", "b")), "--channel.*a, b"),
        (ImportOptions(structures={"background": 4}), "background=4"),
        (ImportOptions(structures={"liver": 0, "spleen": 1}), "liver=0"),
        (ImportOptions(structures={"a": ("liver",), "b": ("*",)}), r"\* for the rest"),
        (
            ImportOptions(structures={"a": ("liver", "spleen"), "b": ("liver",)}),
            "in one structure for DICOM, found one twice",
        ),
        (ImportOptions(structures={"cord": 1}), r"seg\.dcm.*found 'liver', 'spleen'"),
        (ImportOptions(structures={"Liver": 1}), "structure 'Liver', found 'liver'"),
        (
            ImportOptions(structures={"liver": 1, "spleen": 2, "Liver": 3}),
            "found Liver, but the labels have liver, spleen",
        ),
    ],
)
def test_options_without_a_meaning_are_refused(
    options: ImportOptions, words: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        import_dataset(source, tmp_path / "data", options)
    assert not (tmp_path / "data").exists()


def test_structures_that_are_named_are_selected_and_the_others_told(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ImportOptions(structures={"liver": 1})
    import_dataset(source, tmp_path / "data", options)

    found = read_label(tmp_path / "data" / "labelsTr" / "case_001.nii.gz").array
    assert (found == (drawn() == 1)).all()
    assert "case_001: left out spleen" in caplog.text


@pytest.mark.parametrize("name", ["background", "ignore"])
def test_a_structure_with_a_name_of_dataset_json_is_refused(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    names = {**NAMES, 2: name}
    add_seg(folder / "seg.dcm", add_series(folder / "ct", 1), drawn(), names)

    with pytest.raises(DataError, match=rf"seg\.dcm: .* found '{name}'"):
        import_dataset(folder, tmp_path / "data", ImportOptions())


def test_spelling_differences_are_two_structures(source: Path, tmp_path: Path) -> None:
    names = {1: "Liver", 2: "spleen"}
    add_seg(source / "other.dcm", add_series(source / "more", 2), drawn(), names)
    import_dataset(source, tmp_path / "data", ImportOptions())

    labels = read_dataset(tmp_path / "data").labels
    assert labels == {"background": 0, "Liver": 1, "liver": 2, "spleen": 3}


def test_two_modalities_are_refused(source: Path, tmp_path: Path) -> None:
    def resonance(slice_, k):
        slice_.Modality = "MR"

    image = add_series(source / "mr", 2, change=resonance)
    add_seg(source / "mr.dcm", image, drawn())

    with pytest.raises(DataError, match=r"one modality, found CT \(.*MR \(.*mr/slice"):
        import_dataset(source, tmp_path / "data", ImportOptions())


def test_a_channel_may_be_named(source: Path, tmp_path: Path) -> None:
    options = ImportOptions(channels=("portal phase",))
    import_dataset(source, tmp_path / "data", options)

    assert read_dataset(tmp_path / "data").channels == ("portal phase",)


def test_data_of_another_channel_or_other_structures_are_not_joined(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)

    with pytest.raises(DataError, match="give --channel NAME"):
        import_dataset(source, data, ImportOptions(add=True))
    channels = read_dataset(data).channels
    with pytest.raises(DataError, match="expected the structures ball, core, found"):
        import_dataset(source, data, ImportOptions(add=True, channels=channels))
    options = ImportOptions(add=True, channels=channels, structures={"liver": 1})
    with pytest.raises(DataError, match="expected none beside --add"):
        import_dataset(source, data, options)


def test_images_without_a_spacing_are_not_joined(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    import_dataset(source, data, ImportOptions())
    about = data / "dataset.json"
    about.write_text(about.read_text().replace("{", '{"unit": "px",', 1))

    with pytest.raises(DataError, match=r"found \.nii\.gz in px"):
        import_dataset(source, data, ImportOptions(add=True))
