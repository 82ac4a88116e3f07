"""Guard: which requests reach the pages, how large they may be and how frequent."""
