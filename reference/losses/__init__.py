"""Losses, one page each, with the penalties."""

from . import (
    absolute_error,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine,
    cross_entropy,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    negative_log_likelihood,
    penalties,
    smooth_l1,
    squared_error,
    squared_hinge,
    weighted_sum,
)

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine",
    "cross_entropy",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "negative_log_likelihood",
    "penalties",
    "smooth_l1",
    "squared_error",
    "squared_hinge",
    "weighted_sum",
]
