"""Losses, one page each, with the penalties."""
