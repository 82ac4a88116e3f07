"""From prepared cases to the weights of one network."""
