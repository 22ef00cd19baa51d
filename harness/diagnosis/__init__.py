"""What is the mistake?  Its name where the catalogue knows it, else its shape, else its precision.

    gather     what the subject says of the case, and of further values      evidence.py
    name       the fault whose gradients are the subject's everywhere        dictionary.py
               or the penalty that is taken with another strength            penalties.py
    shape      else, what the first wrong gradient is of the right one       shapes.py
               where its wrong entries are                                   patterns.py
               to how many bits it is right                                  precision.py

A wrong name costs its reader more than none: what is said must come back on values that
nothing was fitted on.
"""

from backproof.diagnosis.cause import Cause, in_words
from backproof.diagnosis.diagnosing import diagnose

__all__ = ["Cause", "diagnose", "in_words"]
