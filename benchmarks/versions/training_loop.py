"""Steps of LeNet-5 on MNIST: `helpers.training.train` beside the loops of tutorials.

All train the network of notebooks/hw7.ipynb, with max pooling or without, by SGD with momentum on
batches of 64. The images are random, for time does not depend on them.

- images: a DataLoader in the main process, which turns each image into a tensor by itself, with
  torchvision's transforms;
- tensors: a DataLoader over a TensorDataset whose images are floats already;
- ours: `train` on bytes that live on the device, a batch at a time.

A call is an epoch of `BATCHES` batches: a loader's first batch, which nothing overlaps, is in it.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms

from helpers import runtime, training

BATCHES, BATCH_SIZE = 50, 64


def make(version: str, threads: int) -> tuple[Callable[[], None], int]:
    """Return a function that makes an epoch, and the number of its steps."""
    runtime.set_threads(threads)
    runtime.set_seed(0)
    pooling, _, loop = version.partition("_")
    model = lenet(nn.MaxPool2d if pooling == "max" else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCHES * BATCH_SIZE, 28, 28), np.uint8)
    labels = torch.from_numpy(rng.integers(0, 10, len(images)))
    if loop == "ours":
        epoch = resident(model, optimizer, torch.from_numpy(images)[:, None], labels)
    else:
        as_floats = torch.from_numpy(images)[:, None].float() / 255
        data = PerImage(images, labels) if loop == "images" else TensorDataset(as_floats, labels)
        epoch = textbook(model, optimizer, DataLoader(data, BATCH_SIZE, shuffle=True))
    return epoch, BATCHES


def lenet(pooling: type[nn.Module] | None) -> nn.Sequential:
    """Return LeNet-5 as in notebooks/hw7.ipynb, for images `[batch, 1, 28, 28]`."""
    pool = [pooling(2, 2)] if pooling else []
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), *pool,
        nn.Conv2d(6, 16, 5), nn.ReLU(), *pool,
        nn.Flatten(), nn.Linear(400 if pooling else 9216, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class PerImage(Dataset):
    """MNIST as tutorials serve it: one image at a time, transformed in Python."""

    def __init__(self, images: np.ndarray, labels: Tensor):
        self.images, self.labels = images, labels
        self.transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def textbook(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader
) -> Callable[[], None]:
    """Return the loop of every tutorial, over one epoch."""

    def epoch() -> None:
        for X, y in loader:
            loss = F.cross_entropy(model(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def resident(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Callable[[], None]:
    """Return an epoch of `helpers.training.train`, which evaluates nothing."""

    def epoch() -> None:
        training.train(
            model, optimizer, images, labels, steps=BATCHES, batch_size=BATCH_SIZE,
            display_every=BATCHES, seed=0, evaluation={}, name="ours",
        )  # fmt: skip

    return epoch
