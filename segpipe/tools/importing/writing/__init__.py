"""Write data/: cases, description, patients and the ledger of the import."""
