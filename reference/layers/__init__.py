"""Layers, one page each: the docstring derives, the code below it follows line by line."""

from . import dense, relu, tanh

__all__ = ["dense", "relu", "tanh"]
