"""All systems of the literature that learn, on two real sets at equal wall time."""
