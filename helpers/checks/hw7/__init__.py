"""The checks of "LeNet-5 and the price of pooling", one for each function that a student writes.

Each check holds one answer against a reference in double precision, with the reference in the place
of everything else that the notebook asks for. To name a mistake it makes it: the reference is
computed again with a ReLU left out, a constant learning rate, … and the variant that reproduces the
answer says what is wrong.
"""

from helpers.checks.hw7.counting import multiply_adds
from helpers.checks.hw7.evaluation import evaluate
from helpers.checks.hw7.features import get_intermediate
from helpers.checks.hw7.network import initialize_network
from helpers.checks.hw7.training import train

__all__ = ["evaluate", "get_intermediate", "initialize_network", "multiply_adds", "train"]
