"""An inbox of studies: what waits, who works on it, and how it went."""
