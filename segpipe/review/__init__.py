"""Review: who reads which case, the pages on which they do it, and what they said."""
