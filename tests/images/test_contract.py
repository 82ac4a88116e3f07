"""One picture in every format, and every fault in every format that can have it.

tests/doors.csv says what comes of each. The files are written by the libraries of the
formats, not by ours.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import SimpleITK
import tifffile
from pydicom import Dataset, dcmread
from pydicom.uid import DigitalXRayImageStorageForPresentation

from segpipe.dataset.layout import read_dataset
from segpipe.images.dicom.series import find_series, read_series
from segpipe.images.formats.files import read_image
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.cases import check_image
from segpipe.tools.segmenting.opening import open_study
from segpipe.tools.segmenting.studies import Study
from tests.support.dicoms import VOXELS, write_objects, write_series
from tests.support.labelled_dicoms import add_seg
from tests.support.memory import peak_bytes
from tests.support.places import ROOT
from tests.support.segmenters import make_plan

# Axes i, j, k; odd sizes, so that no two axes can be confused.
PICTURE = np.random.default_rng(0).integers(1, 250, (9, 7, 5)).astype(np.uint8)
SPACING = (0.5, 0.75, 2.0)  # mm
VOLUMES = ("nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd")
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
# How the door of import differs: the fourth axis of NIfTI is channels there.
AT_IMPORT = {"time": dict.fromkeys(VOLUMES[:2], "time points as channels")}
Array = np.ndarray


def rows() -> list[dict[str, str]]:
    with (ROOT / "tests" / "doors.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_nifti(path: Path, array: Array, fact: str) -> Path:
    scale = 1000 if fact == "unit um" else 1
    affine = np.diag([*(size * scale for size in SPACING), 1])
    if fact == "shear":
        affine[0, 1] = 0.2
    if fact == "coronal plane":
        array, affine = array[..., :1], affine[:, [0, 2, 1, 3]]
    if fact == "colours of four axes":
        bands = np.stack([array, array[::-1], array[:, ::-1]], -1)
        array = np.ascontiguousarray(bands).view(RGB)  # i j k 1
    image = nib.Nifti1Image(np.stack([array] * 2, 3) if fact == "time" else array, None)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("micron" if scale > 1 else "mm")
    if fact == "long extension":
        content = np.random.default_rng(0).bytes(3 << 20)  # which no gzip shortens
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", content))
    nib.save(image, path)
    return path


def write_itk(path: Path, array: Array, fact: str) -> Path:
    """Write the voxels, and the unit or shear by hand: SimpleITK writes neither."""
    vector = np.stack([array, array[::-1]], 3) if fact == "channels" else array
    axes = (2, 1, 0, 3)[: vector.ndim]
    image = SimpleITK.GetImageFromArray(
        np.ascontiguousarray(vector.transpose(axes)), isVector=fact == "channels"
    )
    scale = 1000 if fact == "unit um" else 1
    if fact == "coronal plane":
        image = image[:, :, :1]
        image.SetDirection((1, 0, 0, 0, 0, 1, 0, 1, 0))
    image.SetSpacing([size * scale for size in SPACING])
    SimpleITK.WriteImage(image, str(path))
    data = path.read_bytes()
    unit = {"unit um": b"um", "unknown unit": b"furlong"}.get(fact)
    if path.suffix in (".nrrd", ".nhdr"):
        line = b'space units: "%s" "%s" "%s"\n' % ((unit,) * 3) if unit else b""
        data = data.replace(b"kinds:", line + b"kinds:", 1)
        if fact == "shear":
            data = data.replace(b"(0,0.75,0)", b"(0.2,0.75,0)", 1)
    else:
        line = b"DistanceUnits = %s\n" % unit if unit else b""
        data = data.replace(b"ElementSpacing", line + b"ElementSpacing", 1)
        if fact == "shear":
            data = data.replace(b"1 0 0 0 1 0 0 0 1", b"1 0 0 .3 1 0 0 0 1", 1)
    path.write_bytes(data)
    beside = {".nhdr": path.with_suffix(".raw"), ".mhd": path.with_suffix(".raw")}
    return beside.get(path.suffix, path)


def write_stack(path: Path, array: Array, fact: str) -> Path:
    """A TIFF of several planes: of ImageJ, of OME, or page by page."""
    axes = {"time": "TYX", "channels": "ZCYX"}.get(fact, "ZYX")
    pages = array.transpose(2, 1, 0)
    if fact == "channels":
        pages = np.stack([array, array[::-1]]).transpose(3, 0, 2, 1)
    if path.name.endswith(".ome.tif"):
        sizes = {
            f"PhysicalSize{a}": 1000 * s for a, s in zip("XYZ", SPACING, strict=True)
        }
        units = {f"PhysicalSize{a}Unit": "µm" for a in "XYZ"}
        tifffile.imwrite(path, pages, metadata={"axes": axes, **sizes, **units})
        if fact == "missing planes":
            data = path.read_bytes()
            path.write_bytes(
                data.replace(b'SizeZ="5"', b'SizeZ="7"').replace(
                    b'PlaneCount="5"', b'PlaneCount="7"'
                )
            )
    elif fact in ("unit um", "time", "channels"):
        x, y, z = (1000 * size for size in SPACING)
        tifffile.imwrite(
            path,
            pages,
            imagej=True,
            resolution=(1 / x, 1 / y),
            metadata={"axes": axes, "spacing": z, "unit": "um"},
        )
    elif fact == "page by page":
        one, *more = (PIL.Image.fromarray(page) for page in pages)
        one.save(path, save_all=True, append_images=more)
    else:
        tifffile.imwrite(path, pages)
    return path


def write_plane(path: Path, array: Array, fact: str) -> Path:
    rows_first = np.ascontiguousarray(array[:, :, 0].T)
    if fact in ("NaN", "complex"):
        tifffile.imwrite(path, rows_first)
    elif fact == "inverted":
        tifffile.imwrite(path, rows_first, photometric="miniswhite")
    else:
        grey, exif = PIL.Image.fromarray(rows_first), PIL.Image.Exif()
        if fact == "turned by a tag":
            exif[274] = 6
        bands = {"CMYK": 4, "CIELAB": 3}.get(fact)
        mode = {"CIELAB": "LAB"}.get(fact, fact)
        image = PIL.Image.merge(mode, [grey] * bands) if bands else grey
        image.save(
            path, **({"quality": 100} if path.suffix == ".jpg" else {}), exif=exif
        )
    return path


def write_hdf5(path: Path, array: Array, fact: str) -> Path:
    stored = array.transpose(2, 1, 0)
    if fact.startswith("channels"):
        axis = 0 if fact == "channels" else 3
        stored = np.stack([array, array[::-1]], 3).transpose(2, 1, 0, 3)
        stored = np.moveaxis(stored, 3, axis)
    with h5py.File(path, "w") as file:
        file["raw"] = stored
        if fact == "channels last and named":
            file["raw"].attrs["axes"] = "zyxc"
        file["raw"].attrs["element_size_um"] = [1000 * size for size in SPACING[::-1]]
    return path


def radiograph(slice_: Dataset) -> None:
    """Make a slice a projection, whose spacing is that of the detector."""
    slice_.SOPClassUID, slice_.Modality = DigitalXRayImageStorageForPresentation, "DX"
    slice_.ImagerPixelSpacing = [0.139, 0.143]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(slice_, keyword)


def number_frames(path: Path, number: int, *, echoes: bool) -> None:
    """Give the frames a temporal position, or let each two share a place as echoes."""
    multi = dcmread(path)
    frames = multi.PerFrameFunctionalGroupsSequence
    for place, frame in enumerate(frames):
        content = Dataset()
        if echoes:
            content.EffectiveEchoTime = 5.0 * (1 + place % 2)
            frame.MREchoSequence = [content]
            frame.PlanePositionSequence = frames[place // 2 * 2].PlanePositionSequence
        else:
            content.TemporalPositionIndex = number
            frame.FrameContentSequence = [content]
    multi.save_as(path)


def write_dicom(folder: Path, array: Array, fact: str) -> Path:
    def change(slice_: Dataset, k: int) -> None:
        if fact == "colour":
            slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 3, "RGB"
        elif fact == "palette":
            slice_.PhotometricInterpretation = "PALETTE COLOR"
        elif fact == "rounded positions":
            height = np.floor(10 * (k * 1.25 - 72) + 0.5) / 10
            slice_.ImagePositionPatient = [-90.5, 126.2, height]
            slice_.SliceThickness = 1.25
        elif fact == "radiograph":
            radiograph(slice_)
        elif fact == "echoes":
            slice_.Modality, slice_.EchoTime = "MR", 5

    def second_echo(slice_: Dataset, k: int) -> None:
        slice_.Modality, slice_.EchoTime = "MR", 10

    if fact == "several objects":
        return write_objects(folder, VOXELS, parts=2)[0]
    if fact in ("phases", "numbered phases", "echoes in one object"):
        objects = write_objects(folder, *[VOXELS] * (1 + fact.endswith("phases")))
        for number, path in enumerate(objects if fact != "phases" else (), start=1):
            number_frames(path, number, echoes=fact == "echoes in one object")
        return objects[0]
    if fact == "echoes":
        write_series(folder, stem="second", change=second_echo)
    files = write_series(
        folder,
        voxels=np.full_like(VOXELS, 7) if fact == "blank" else VOXELS,
        step=np.array([0, 0.5, 2.5]) if fact == "shear" else None,
        slices=[0, 1, 3, 4, 5] if fact == "missing planes" else None,
        change=change,
    )
    return files[-1]


def write(folder: Path, kind: str, fact: str) -> Path:
    """The picture in this format, with this fault; returns the file or folder."""
    array = {
        "blank": np.full_like(PICTURE, 7),
        "NaN": np.where(PICTURE > 99, np.float32(np.nan), PICTURE).astype(np.float32),
        "complex": PICTURE.astype(np.complex64),
    }.get(fact, PICTURE)
    path = folder / (f"a.{kind}" if kind != "dcm" else "series")
    if fact.endswith(" inside"):
        kinds = {"PNG": "png", "JPEG": "jpg", "TIFF": "flat.tif", "NIfTI": "nii"}
        true = {**kinds, "packed NIfTI": "nii.gz"}.get(fact.removesuffix(" inside"))
        if true is None:
            path.write_text("no image at all, whatever its name says")
            return path
        return write(folder, true, "as it is").rename(path)
    writers: dict[str, Callable[[Path, Array, str], Path]] = {
        **dict.fromkeys(VOLUMES[:2], write_nifti),
        **dict.fromkeys(VOLUMES[2:], write_itk),
        "tif": write_stack,
        "ome.tif": write_stack,
        "h5": write_hdf5,
        "dcm": write_dicom,
    }
    stored = writers.get(kind, write_plane)(path, array, fact)
    data = stored.read_bytes()
    behind = {
        "more behind the end": PICTURE[..., 0].tobytes(),
        "padding behind the end": bytes(200),
    }.get(fact)
    if behind and kind == "nii.gz":
        stored.write_bytes(gzip.compress(gzip.decompress(data) + behind))
    elif behind:
        stored.write_bytes(data + behind)
    elif fact == "cut off":
        stored.write_bytes(data[: len(data) - 20])
    return path


def write_source(folder: Path, kind: str, fact: str) -> ImportOptions:
    """The picture as what `segpipe import` takes: with a label map without a grid."""
    label = np.zeros(PICTURE.shape, np.uint8)
    label[2:5, 2:5, 1:3] = 1
    label[2:5, 2:5, :1] = 1
    if kind == "dcm":
        write(folder, kind, fact)
        files = write_series(folder.parent / "whole")
        (series,) = find_series(files)
        drawn = np.zeros(VOXELS.shape, np.int16)
        drawn[1:3, 1:3, 1:3] = 1
        add_seg(folder / "seg.dcm", read_series(series), drawn, {1: "liver"})
        return ImportOptions()
    if kind == "h5":
        path = write(folder, kind, fact)
        if fact != "cut off" and not fact.endswith(" inside"):
            with h5py.File(path, "a") as file:
                file["label"] = label.transpose(2, 1, 0)
        return ImportOptions()
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    write(folder / "images", kind, fact)
    plane = kind in ("png", "jpg", "flat.tif") or fact == "coronal plane"
    pages = label.transpose(2, 1, 0)
    name = f"a.{kind}" if kind.endswith(".tif") else "a.tif"
    tifffile.imwrite(folder / "labels" / name, pages[0] if plane else pages)
    return ImportOptions(images="images", labels="labels")


def is_lossy(row: dict[str, str]) -> bool:
    inside = row["fact"].removesuffix(" inside")
    return inside == "JPEG" or (row["format"] == "jpg" and inside == row["fact"])


def load(path: Path, kind: str) -> tuple[Array, tuple[float, ...], str, str]:
    """Array, spacing, unit and warnings at the door of segment; HDF5 is imported."""
    if kind == "h5":
        image = check_image(path, hdf5.read_image(path, key="raw"))
        return image.array, image.grid.spacing, image.grid.unit, ""
    if kind == "dcm":
        (series,) = find_series(path.iterdir())
        study, plan = Study("a", series.files, series), make_plan(channels=("a",))
    else:
        image = read_image(path)  # the door of import and of verify
        study = Study("a", (path,))
        plan = make_plan(
            channels=tuple(map(str, range(len(image.array)))),
            dimensions=3 if image.grid.shape[2] > 1 else 2,
            unit=image.grid.unit,
        )
    opened = open_study(study, plan, spacing_mm=None, resample_tilt=False)
    array = np.concatenate(list(opened.source.read()), axis=3)
    grid = opened.source.grid
    return array, grid.spacing, grid.unit, " ".join(opened.warnings)


@pytest.mark.parametrize("row", rows(), ids=lambda r: f"{r['format']}-{r['fact']}")
def test_a_format_gives_the_right_voxels_or_the_right_words(
    row: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path, row["format"], row["fact"])
    if row["outcome"] == "refused":
        with pytest.raises(DataError) as caught:
            load(path, row["format"])
        assert row["words"] in str(caught.value)
        assert str(tmp_path / ("series" if path.is_dir() else "a")) in str(caught.value)
        assert "; " in str(caught.value)  # the mend
        return

    array, spacing, unit, warnings = load(path, row["format"])

    expected, sizes = PICTURE[None], SPACING
    if row["format"] == "dcm":
        expected, sizes = VOXELS[None], (0.75, 1.25, 2.5)
        if row["outcome"] == "volume 1.25 mm":
            sizes = (0.75, 1.25, 1.25)
    elif row["outcome"] == "colours":
        expected = np.stack([PICTURE, PICTURE[::-1], PICTURE[:, ::-1]])
    elif row["outcome"] == "channels":
        expected = np.stack([PICTURE, PICTURE[::-1]])
    elif row["outcome"] == "plane px":
        expected = PICTURE[None, :, :, :1]
    pixels = row["outcome"].endswith("px") or unit == "px"
    np.testing.assert_allclose(array, expected, atol=9 if is_lossy(row) else 0)
    assert unit == ("px" if pixels else "mm")
    assert spacing == pytest.approx((1, 1, 1) if pixels else sizes, abs=1e-5)
    assert row["words"] in warnings


@pytest.mark.parametrize("row", rows(), ids=lambda r: f"{r['format']}-{r['fact']}")
def test_an_import_writes_the_right_voxels_or_gives_the_right_words(
    row: dict[str, str], tmp_path: Path
) -> None:
    """What import brings in, verify and segment do not refuse."""
    source, data = tmp_path / "source", tmp_path / "data"
    source.mkdir()
    options = write_source(source, row["format"], row["fact"])
    outcome = AT_IMPORT.get(row["fact"], {}).get(row["format"], row["outcome"])
    if outcome == "refused":
        with pytest.raises(DataError) as caught:
            import_dataset(source, data, options)
        assert row["words"] in str(caught.value)
        assert not data.exists()
        return

    import_dataset(source, data, options)

    images = [read_image(file) for file in sorted((data / "imagesTr").iterdir())]
    expected, sizes = PICTURE[None], SPACING
    if row["format"] == "dcm":
        expected, sizes = VOXELS[None], (0.75, 1.25, 2.5)
        if outcome == "volume 1.25 mm":
            sizes = (0.75, 1.25, 1.25)
    elif outcome == "colours":
        expected = np.stack([PICTURE, PICTURE[::-1], PICTURE[:, ::-1]])
    elif outcome == "channels":
        expected = np.stack([PICTURE, PICTURE[::-1]])
    elif outcome == "time points as channels":
        expected = np.stack([PICTURE, PICTURE])
    elif outcome == "plane px":
        expected = PICTURE[None, :, :, :1]
    array = np.concatenate([image.array for image in images])
    np.testing.assert_allclose(array, expected, atol=9 if is_lossy(row) else 0)
    if read_dataset(data).unit == "mm":
        assert images[0].grid.spacing == pytest.approx(sizes, abs=1e-5)
    else:
        assert row["format"].endswith(("tif", "png", "jpg"))


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_turned_picture_is_read_after_the_mend(name: str, tmp_path: Path) -> None:
    """It gives what a viewer shows; Pillow 13 mixes up the pixels of a turned TIFF."""
    path = write(tmp_path, name[2:], "turned by a tag")
    with PIL.Image.open(path) as image:
        PIL.ImageOps.exif_transpose(image).save(tmp_path / f"mended{path.suffix}")

    found = read_image(tmp_path / f"mended{path.suffix}").array

    shown = np.rot90(PICTURE[:, :, 0].T, -1)  # tag 6: a quarter turn clockwise
    np.testing.assert_allclose(found[0, ..., 0], shown.T, atol=40)


@pytest.mark.parametrize(
    ("kind", "inside"),
    [("nii", "PNG"), ("png", "NIfTI"), ("mha", "PNG"), ("jpg", "packed NIfTI")],
)
def test_a_file_of_another_format_is_read_after_the_mend(
    kind: str, inside: str, tmp_path: Path
) -> None:
    path = write(tmp_path, kind, f"{inside} inside")
    with pytest.raises(DataError, match=r"rename it to end in \.") as caught:
        read_image(path)
    ending = str(caught.value).rpartition(" ")[2]

    found = read_image(path.rename(path.with_suffix(ending))).array

    expected = PICTURE[:, :, :1] if inside == "PNG" else PICTURE
    assert (found == expected[None]).all()


def test_one_echo_alone_is_read_after_the_mend(tmp_path: Path) -> None:
    path = write(tmp_path, "dcm", "echoes")
    first = [file for file in path.iterdir() if dcmread(file).EchoTime == 5]

    (series,) = find_series(first)

    assert (read_series(series).image.array == VOXELS[None]).all()


def test_a_radiograph_is_read_after_the_mend(tmp_path: Path) -> None:
    """Saved as TIFF, and with the spacing that the message gives: columns, rows."""
    files = write_series(tmp_path / "dx", slices=[0], change=lambda s, k: radiograph(s))
    (series,) = find_series(files)
    with pytest.raises(DataError, match=r"save its pixels as \.tif") as caught:
        read_series(series)
    named = re.search(r"--spacing-mm ([\d.]+),([\d.]+)", str(caught.value))
    tifffile.imwrite(tmp_path / "dx.tif", dcmread(files[0]).pixel_array)

    assert named is not None
    spacing = (float(named[1]), float(named[2]))
    found = read_image(tmp_path / "dx.tif", spacing_mm=spacing)

    assert (found.array[0, ..., 0] == VOXELS[..., 0]).all()
    assert found.grid.spacing[:2] == (0.143, 0.139)  # ImagerPixelSpacing: rows first


def test_a_bomb_behind_the_last_voxel_is_never_unpacked(tmp_path: Path) -> None:
    """1 MB that would unpack to 1 GB."""
    path = write(tmp_path, "nii.gz", "as it is")
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(gzip.decompress(path.read_bytes()))
    bomb = [packer.compress(bytes(1 << 24)) for _ in range(64)]
    path.write_bytes(b"".join([head, *bomb, packer.flush()]))

    with peak_bytes() as needed, pytest.raises(DataError, match="behind the last"):
        read_image(path)
    assert needed[0] < 100e6
