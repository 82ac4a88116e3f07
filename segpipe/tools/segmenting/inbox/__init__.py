"""The inbox of studies: what waits, who works on it, what is reported."""
