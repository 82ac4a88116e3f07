"""What a segmenter computes of an image: probabilities, labels, and where."""
