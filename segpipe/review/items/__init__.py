"""Items: what a reader sees of a version, drawn from its test cases."""
