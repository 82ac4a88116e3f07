"""Layouts that a standard or an annotation program fixes."""
