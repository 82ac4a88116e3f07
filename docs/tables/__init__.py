"""Pages made by code: the systems of the literature, and the sizes of convolutions."""
