"""From annotated images to segmentation networks that can be trusted."""
