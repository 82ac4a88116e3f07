"""Shapes on images: polygons, boxes and run lengths, as annotation programs write."""
