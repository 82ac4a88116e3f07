"""The record of all runs and the registered segmenters, in MLflow."""
