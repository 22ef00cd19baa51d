"""Independent gradients, error bounds, ties, and the verdict."""
