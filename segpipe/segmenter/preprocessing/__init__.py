"""Preprocessing: what happens to every image and label before a network."""
