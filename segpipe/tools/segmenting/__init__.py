"""Segmentation of new studies."""
