"""DICOM: image series, segmentations and contours."""
