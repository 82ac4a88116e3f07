"""How good predictions are, in figures, plots, tables and a page."""
