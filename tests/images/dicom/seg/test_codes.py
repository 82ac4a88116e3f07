"""Structures have the codes of their names, or none of another."""

import pytest
from pydicom.sr.codedict import codes

from segpipe.images.dicom.seg.codes import ANATOMICAL, PATHOLOGICAL, codes_of


def test_codes_are_those_of_pydicom() -> None:
    table = {**ANATOMICAL, **PATHOLOGICAL}
    for name, (value, meaning) in table.items():
        keyword = "".join(word.capitalize() for word in name.split())
        code = getattr(codes.SCT, keyword)
        assert (code.value, code.meaning) == (value, meaning)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Hippocampus", codes.SCT.Hippocampus),
        ("left_kidney", codes.SCT.Kidney),
        ("Lung Tumour", codes.SCT.Tumor),
        ("oedema", codes.SCT.Edema),
        ("spinal-cord", codes.SCT.SpinalCord),
        ("non-brain", codes.SCT.Tissue),
        ("1", codes.SCT.Tissue),
    ],
)
def test_a_structure_has_the_code_of_its_name(name: str, kind: object) -> None:
    assert codes_of(name)[1] == kind
