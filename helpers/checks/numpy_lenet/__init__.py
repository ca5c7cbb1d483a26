"""The checks of "LeNet in NumPy", one for each answer that a student writes.

Each check holds one answer against a reference written by definition, in loops and double
precision, over several geometries, and gives the answer the reference's results for everything
that comes before. To name a mistake it makes it: the reference is computed again with a stride
ignored, a history restarted, … and the variant that reproduces the answer says what is wrong.
"""

from helpers.checks.numpy_lenet.convolution import (
    conv_layer_backward,
    convolution_backward_loops,
    convolution_loops,
)
from helpers.checks.numpy_lenet.inner_product import inner_product_backward, inner_product_forward
from helpers.checks.numpy_lenet.pooling import pooling_layer_backward, pooling_layer_forward
from helpers.checks.numpy_lenet.relu import relu_backward, relu_forward
from helpers.checks.numpy_lenet.shifts import random_shifts
from helpers.checks.numpy_lenet.toy import toy_answers
from helpers.checks.numpy_lenet.training import train
from helpers.checks.numpy_lenet.updates import sgd_momentum

__all__ = [
    "conv_layer_backward",
    "convolution_backward_loops",
    "convolution_loops",
    "inner_product_backward",
    "inner_product_forward",
    "pooling_layer_backward",
    "pooling_layer_forward",
    "random_shifts",
    "relu_backward",
    "relu_forward",
    "sgd_momentum",
    "toy_answers",
    "train",
]
