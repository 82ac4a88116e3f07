"""Work case by case, so that one more case costs one case."""
