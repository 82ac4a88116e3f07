"""The verbs that are no stage; only __main__ and flows call them."""
