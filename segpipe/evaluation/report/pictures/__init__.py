"""Pictures: cases as planes with contours, in the page and as PNG."""
