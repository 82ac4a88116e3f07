"""Commands on signed records: who may sign, a decision, showing, verifying."""
