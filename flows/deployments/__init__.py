"""Deployments and automations on the Prefect server."""
