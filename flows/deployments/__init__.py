"""Deployments: what the Prefect server knows about the flows."""
