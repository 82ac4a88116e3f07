"""The verbs that are no stage; only cli and flows call them."""
