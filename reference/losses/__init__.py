"""Losses, one page each, with the penalties."""

from . import penalties, squared_error, weighted_sum

__all__ = ["penalties", "squared_error", "weighted_sum"]
