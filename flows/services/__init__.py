"""The services of this machine: Prefect, MLflow and workers."""
