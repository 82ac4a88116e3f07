"""Deployments: what the Prefect server knows of the flows."""
