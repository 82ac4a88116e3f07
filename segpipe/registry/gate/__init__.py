"""The gate: whether a candidate may take the champion's place."""
