"""Images: volumes and label maps on grids in space, and what is computed on them."""
