"""One function's backward pass, held against numerical derivatives of its own forward.

The function is a black box (`function.py`): nothing is known of its kinks, its scale or its
rounding.  `slopes` differentiates it with a bound on every entry, `values` holds the gradients
against that, `kinks` judges where it is not differentiable, and `manners` asks what else a
backward pass owes its caller.
"""
