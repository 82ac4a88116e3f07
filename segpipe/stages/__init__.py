"""The verbs of dvc.yaml: one module a stage, each with its Params and one run()."""
