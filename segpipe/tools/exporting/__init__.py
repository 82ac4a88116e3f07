"""Export of a segmenter to ONNX, with a program that runs it."""
