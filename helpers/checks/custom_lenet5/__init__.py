"""The checks of "LeNet-5 of 1998", one for each answer that a student writes.

Each check holds one answer against a reference in double precision, with the reference in the place
of everything else that the notebook asks for. To name a mistake it makes it: the reference is
computed again with the strides swapped, a kernel flipped, … and the variant that reproduces the
answer says what is wrong. PyTorch's own convolution and pooling are refused, as by the assignment.
"""

from helpers.checks.custom_lenet5.convolution import (
    Convolution2d,
    PartialConvolution2d,
    convolution_loops,
    convolution_unfold,
    convolve,
)
from helpers.checks.custom_lenet5.images import output_size, prepare
from helpers.checks.custom_lenet5.network import lenet5
from helpers.checks.custom_lenet5.pooling import (
    AveragePooling2d,
    MaxPooling2d,
    TrainableSubsampling2d,
)
from helpers.checks.custom_lenet5.training import train
from helpers.checks.custom_lenet5.units import RadialBasisOutput, ScaledTanh, discriminative_loss
from helpers.checks.custom_lenet5.windows import gather_windows, scatter_windows

__all__ = [
    "AveragePooling2d",
    "Convolution2d",
    "MaxPooling2d",
    "PartialConvolution2d",
    "RadialBasisOutput",
    "ScaledTanh",
    "TrainableSubsampling2d",
    "convolution_loops",
    "convolution_unfold",
    "convolve",
    "discriminative_loss",
    "gather_windows",
    "lenet5",
    "output_size",
    "prepare",
    "scatter_windows",
    "train",
]
