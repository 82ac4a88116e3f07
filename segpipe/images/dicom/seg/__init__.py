"""DICOM-SEG: segmentations that lie on a series."""
