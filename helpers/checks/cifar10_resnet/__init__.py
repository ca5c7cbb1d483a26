"""The checks of "CIFAR-10, from a first pipeline to ResNet-20", one for each answer of a student.

Each check holds one answer against a reference, with the reference in the place of everything else
that the notebook asks for. Networks may be written in any way: their parameters are found in the
order of their use. To name a mistake it makes it: the reference is computed again with a shortcut
left out, a mean over batches, … and the variant that reproduces the answer says what is wrong.
"""

from helpers.checks.cifar10_resnet.augmenting import crop_and_flip
from helpers.checks.cifar10_resnet.images import (
    ImagesWithLabels,
    channel_statistics,
    loaders,
    to_normalized,
)
from helpers.checks.cifar10_resnet.lenet import lenet5, normalized_lenet5
from helpers.checks.cifar10_resnet.residual import ResidualBlock, ResNet
from helpers.checks.cifar10_resnet.results import calibration, one_cycle, predict, temperature
from helpers.checks.cifar10_resnet.training import evaluate, sgd, train_epoch
from helpers.checks.cifar10_resnet.units import Swish, kaiming_normal, l1_penalty

__all__ = [
    "ImagesWithLabels",
    "ResNet",
    "ResidualBlock",
    "Swish",
    "calibration",
    "channel_statistics",
    "crop_and_flip",
    "evaluate",
    "kaiming_normal",
    "l1_penalty",
    "lenet5",
    "loaders",
    "normalized_lenet5",
    "one_cycle",
    "predict",
    "sgd",
    "temperature",
    "to_normalized",
    "train_epoch",
]
