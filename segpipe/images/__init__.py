"""Images and label maps on grids in space: their files and computations on them."""
