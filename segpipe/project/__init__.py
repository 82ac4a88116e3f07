"""A project's paths, params, JSON documents, code and commit."""
