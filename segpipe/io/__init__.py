"""One door a format."""
