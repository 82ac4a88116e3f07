"""Every network that can be named, by the real `dvc repro`, from images to a report."""
