"""The papers' claims, tried: each experiment is one command."""
