"""DICOM series, segmentations and contours."""
