"""A trained network with everything that its use needs."""
