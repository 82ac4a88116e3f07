"""Task: a section train.MODEL, what a training needs, and how one begins."""
