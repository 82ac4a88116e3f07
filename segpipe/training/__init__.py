"""Training: from prepared cases to the weights of one network."""
