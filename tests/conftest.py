"""Hypothesis profiles: `quick`, the default, and `thorough`.

`HYPOTHESIS_PROFILE=thorough pytest` or `pytest --hypothesis-profile=thorough` chooses.  Where
the variable CI is set, examples are drawn from the test's name alone, so that a build can be
repeated.  There is no deadline: JAX compiles each new network in its first call.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

for name, examples in (("quick", 6), ("thorough", 200)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
