"""The command import: bring images and label maps of other folders into data/."""
