"""Import of DICOM series with their labels."""
