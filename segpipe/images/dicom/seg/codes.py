"""SNOMED CT codes of structures, for the segments of a DICOM-SEG."""

import re

from pydicom.sr.coding import Code

ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "SCT", "Tissue")

# DICOM PS3.16; tests/images/dicom/seg/test_codes.py compares with pydicom's codes.SCT.
ANATOMICAL = {
    "adrenal gland": ("23451007", "Adrenal gland"),
    "amygdala": ("4958002", "Amygdala"),
    "aorta": ("15825003", "Aorta"),
    "artery": ("51114001", "Artery"),
    "blood vessel": ("59820001", "Blood Vessel"),
    "bone": ("272673000", "Bone"),
    "brain": ("12738006", "Brain"),
    "brain stem": ("119238007", "Brain Stem"),
    "breast": ("76752008", "Breast"),
    "caudate nucleus": ("11000004", "Caudate Nucleus"),
    "cerebellum": ("113305005", "Cerebellum"),
    "colon": ("71854001", "Colon"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "eye": ("81745001", "Eye"),
    "femur": ("71341001", "Femur"),
    "gallbladder": ("28231008", "Gallbladder"),
    "gray matter": ("389081007", "Gray Matter"),
    "heart": ("80891009", "Heart"),
    "hippocampus": ("5366008", "Hippocampus"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "lymph node": ("59441001", "Lymph Node"),
    "mandible": ("91609006", "Mandible"),
    "muscle": ("71616004", "Muscle"),
    "ovary": ("15497006", "Ovary"),
    "pancreas": ("15776009", "Pancreas"),
    "portal vein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "putamen": ("89278009", "Putamen"),
    "retina": ("5665001", "Retina"),
    "rib": ("113197003", "Rib"),
    "skin": ("39937001", "Skin"),
    "small intestine": ("30315005", "Small intestine"),
    "spinal cord": ("2748008", "Spinal cord"),
    "spine": ("421060004", "Spine"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
    "thalamus": ("42695009", "Thalamus"),
    "tooth": ("38199008", "Tooth"),
    "trachea": ("44567001", "Trachea"),
    "uterus": ("35039007", "Uterus"),
    "vein": ("29092000", "Vein"),
    "vertebra": ("51282000", "Vertebra"),
    "white matter": ("389080008", "White Matter"),
}
PATHOLOGICAL = {
    "edema": ("79654002", "Edema"),
    "lesion": ("52988006", "Lesion"),
    "mass": ("4147007", "Mass"),
    "necrosis": ("6574001", "Necrosis"),
    "neoplasm": ("108369006", "Neoplasm"),
    "tumor": ("108369006", "Tumor"),
}
SPELLINGS = {
    "grey": "gray",
    "oesophagus": "esophagus",
    "oedema": "edema",
    "tumour": "tumor",
    "brainstem": "brain stem",
    "lungs": "lung",
    "kidneys": "kidney",
    "vertebrae": "vertebra",
    "lesions": "lesion",
    "tumors": "tumor",
    "tumours": "tumor",
}
SIDES = {"left", "right", "l", "r", "anterior", "posterior", "upper", "lower"}


def codes_of(structure: str) -> tuple[Code, Code]:
    """Category and type of a structure, by the words of its name.

    Sides are ignored, and "lung tumour" is a tumour. A name that is not in the table,
    such as "liver vessels", is a tissue: the code is not guessed.
    """
    words = [
        SPELLINGS.get(word, word)
        for word in re.split(r"[\W_\d]+", structure.lower())
        if word and word not in SIDES
    ]
    name = " ".join(words)
    if name in ANATOMICAL:
        value, meaning = ANATOMICAL[name]
        return ANATOMY, Code(value, "SCT", meaning)
    if words and words[-1] in PATHOLOGICAL:
        value, meaning = PATHOLOGICAL[words[-1]]
        return ABNORMAL, Code(value, "SCT", meaning)
    return ANATOMY, TISSUE
