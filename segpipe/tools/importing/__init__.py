"""Import of a lab's own images and labels into data/."""
