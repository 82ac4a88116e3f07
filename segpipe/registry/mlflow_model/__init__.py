"""A segmenter as an MLflow model: packed, checked, served and fetched."""
