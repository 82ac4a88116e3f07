"""Work: who reads which item of a dossier, and what the signed readings say."""
