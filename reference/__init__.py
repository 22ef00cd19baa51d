"""The hand-derived backward passes: one page per layer, losses, penalties, optimisers."""
