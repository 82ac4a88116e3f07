"""Flows: when and where the stages of dvc.yaml run, with Prefect."""
