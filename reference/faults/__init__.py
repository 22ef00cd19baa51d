"""Backward passes that are wrong on purpose, each in one way that has happened elsewhere."""
