"""Networks as data: operators, shapes, JSON, random generation, values."""
