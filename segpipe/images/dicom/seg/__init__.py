"""DICOM-SEG: segmentations on the grid of a series."""
