"""A project's paths, params and JSON documents."""
