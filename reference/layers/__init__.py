"""Layers, one page each: the docstring derives, the code below it follows line by line."""
