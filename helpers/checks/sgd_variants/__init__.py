"""The checks of "SGD, momentum and RMSProp by hand", one for each function that a student writes.

Each check holds one answer against a reference in double precision, with the reference in the place
of everything else that the notebook asks for. To name a mistake it makes it: the reference is
computed again with a flipped kernel, a forgotten mask, … and the variant that reproduces the answer
says what is wrong. A named mistake costs the points of its own part and of no other.
"""

from helpers.checks.sgd_variants.convolution import (
    convolution_backward_input,
    convolution_backward_parameters,
    convolution_forward,
)
from helpers.checks.sgd_variants.drawing import draw_balanced, epoch_batches
from helpers.checks.sgd_variants.evaluation import evaluate
from helpers.checks.sgd_variants.initialization import initialize
from helpers.checks.sgd_variants.layers import (
    dense_backward,
    dense_forward,
    max_pool_backward,
    max_pool_forward,
    relu_backward,
    relu_forward,
)
from helpers.checks.sgd_variants.network import backward, forward
from helpers.checks.sgd_variants.rules import momentum_step, rmsprop_step, sgd_step
from helpers.checks.sgd_variants.softmax import cross_entropy, log_softmax
from helpers.checks.sgd_variants.training import train_epoch

__all__ = [
    "backward",
    "convolution_backward_input",
    "convolution_backward_parameters",
    "convolution_forward",
    "cross_entropy",
    "dense_backward",
    "dense_forward",
    "draw_balanced",
    "epoch_batches",
    "evaluate",
    "forward",
    "initialize",
    "log_softmax",
    "max_pool_backward",
    "max_pool_forward",
    "momentum_step",
    "relu_backward",
    "relu_forward",
    "rmsprop_step",
    "sgd_step",
    "train_epoch",
]
