"""The page of the report: tables, plots and pictures of all models."""
