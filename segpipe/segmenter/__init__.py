"""The segmenter: a trained network with all that its use needs."""
