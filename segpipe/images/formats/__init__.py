"""Files of images and label maps in formats other than DICOM."""
