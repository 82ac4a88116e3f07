"""The chain of signed records: its files, signing, anchors, verification."""
