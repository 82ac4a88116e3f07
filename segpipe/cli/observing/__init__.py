"""What the door hands to train: an observer, and a watchdog over it."""
