"""Read what other programs wrote: images and labels of an import."""
