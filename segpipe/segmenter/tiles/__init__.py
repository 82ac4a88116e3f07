"""How a volume is cut into tiles, and put together again from them."""
