"""Drawings of the house and the chain, made from the imports and from dvc.yaml."""
