"""A segmenter as an MLflow model: packed, checked and served."""
