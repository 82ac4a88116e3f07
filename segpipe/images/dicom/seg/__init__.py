"""DICOM-SEG: segmentations of a series, read and written."""
