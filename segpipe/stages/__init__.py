"""The verbs of dvc.yaml: one module per stage, with Params and run()."""
