"""Planning: what the data decide before anything is trained."""
