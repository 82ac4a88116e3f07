"""MLflow: the record of all runs, and the registered versions of segmenters."""
