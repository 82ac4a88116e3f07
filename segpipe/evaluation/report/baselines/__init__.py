"""Methods that learn nothing, as columns beside the networks."""
