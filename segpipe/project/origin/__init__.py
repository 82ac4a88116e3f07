"""Origin: which code and which commit stand behind a result."""
