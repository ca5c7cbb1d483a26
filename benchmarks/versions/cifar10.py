"""Steps on CIFAR-10 of a LeNet and of ResNet-20, with a textbook's loader and with ours.

The networks are those of notebooks/cifar10_resnet.ipynb, written out here; batches have 128 images,
which are random, for time does not depend on them. Every version crops and flips.

- loader: a DataLoader in the main process; each image is cropped, flipped and normalised by itself
  with torchvision's transforms, as torchvision.datasets.CIFAR10 serves it;
- loader_workers: the same with two worker processes;
- ours: a whole batch at once, from bytes on the device (`helpers.augmentation`); channels first in
  memory for ResNet-20, for LeNet last;
- channels_last: ours with the channels last in memory;
- bfloat16: that with mixed precision, where the processor computes in bfloat16 by itself.

A loader's call is an epoch of `BATCHES` batches: it begins with no batch ready. batch_N and width_N
are steps of ResNet-20 (channels last) on N images, and with N times the channels on 128.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from versions.unavailable import Unavailable

from helpers import augmentation, runtime

BATCHES, BATCH_SIZE, PADDING = 16, 128, 4


def make(version: str, threads: int) -> tuple[Callable[[], None], int]:
    """Return a function that makes some steps, and how many.

    Raises `Unavailable` for bfloat16 where it would be emulated.
    """
    runtime.set_threads(threads)
    runtime.set_seed(0)
    kind, _, loop = version.partition("_")
    if kind in ("batch", "width"):
        width = int(loop) if kind == "width" else 1
        batch_size = int(loop) if kind == "batch" else BATCH_SIZE
        return ours(ResNet(3, width), batch_size, torch.channels_last), 1
    model = lenet() if kind == "lenet" else ResNet(3)
    if loop.startswith("loader"):
        return textbook(model, workers=2 if loop == "loader_workers" else 0), BATCHES
    first = kind == "resnet" and loop == "ours"
    layout = torch.contiguous_format if first else torch.channels_last
    if loop != "bfloat16":
        return ours(model, BATCH_SIZE, layout), 1
    if not runtime.has_fast_bfloat16("cpu"):
        raise Unavailable("this processor does not compute in bfloat16 by itself")
    return ours(model, BATCH_SIZE, layout, torch.bfloat16), 1


def lenet() -> nn.Sequential:
    """Return the first network of the chapter: `[batch, 3, 32, 32]` to logits `[batch, 10]`."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


class Block(nn.Module):
    """Two 3 × 3 convolutions, whose output is added to their input."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.stride = 1 if in_channels == out_channels else 2
        self.new_channels = out_channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, X: Tensor) -> Tensor:
        residual = F.relu(self.norm1(self.conv1(X)), inplace=True)
        residual = self.norm2(self.conv2(residual))
        if self.new_channels:
            X = F.pad(X[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(residual + X, inplace=True)


class ResNet(nn.Module):
    """The network of He et al. (2016), section 4.2, with 6·`n` + 2 layers of `width`·16 channels.

    Maps `[batch, 3, 32, 32]` to logits `[batch, 10]`; `n = 3` is ResNet-20.
    """

    def __init__(self, n: int, width: int = 1):
        super().__init__()
        sizes = [16 * width] * (n + 1) + [32 * width] * n + [64 * width] * n
        self.conv = nn.Conv2d(3, sizes[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(sizes[0])
        self.blocks = nn.Sequential(*map(Block, sizes, sizes[1:]))
        self.linear = nn.Linear(sizes[-1], 10)

    def forward(self, X: Tensor) -> Tensor:
        X = F.relu(self.norm(self.conv(X)), inplace=True)
        return self.linear(self.blocks(X).mean((2, 3)))


class PerImage(Dataset):
    """Images as torchvision.datasets.CIFAR10 serves them: one at a time, as PIL's."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, normalize: augmentation.Normalize):
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(normalize.mean.flatten(), normalize.std.flatten()),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def random_set(count: int) -> tuple[np.ndarray, np.ndarray, augmentation.Normalize]:
    """Return images `[count, 32, 32, 3]` of bytes, their labels, and their normalisation."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    normalize = augmentation.Normalize.fit(torch.from_numpy(images).permute(0, 3, 1, 2))
    return images, rng.integers(0, 10, count), normalize


def update(model: nn.Module, optimizer: torch.optim.Optimizer, X: Tensor, y: Tensor, autocast):
    """Take one gradient step."""
    with torch.autocast("cpu", autocast, enabled=autocast is not None):
        loss = F.cross_entropy(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def textbook(model: nn.Module, workers: int) -> Callable[[], None]:
    """Return an epoch of the loop of every tutorial."""
    loader = DataLoader(
        PerImage(*random_set(BATCHES * BATCH_SIZE)),
        BATCH_SIZE,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def epoch() -> None:
        for X, y in loader:
            update(model, optimizer, X, y, None)

    return epoch


def ours(
    model: nn.Module,
    batch_size: int,
    layout: torch.memory_format,
    autocast: torch.dtype | None = None,
) -> Callable[[], None]:
    """Return a step on a random batch of images that live on the device."""
    images, labels, normalize = random_set(2048)
    images = augmentation.pad(torch.from_numpy(images).permute(0, 3, 1, 2), PADDING)
    labels = torch.from_numpy(labels)
    crop = augmentation.RandomCropFlip(32)
    generator = torch.Generator().manual_seed(0)
    model = model.to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    draw = partial(torch.randint, len(images), (batch_size,), generator=generator)

    def step() -> None:
        rows = draw()
        X = normalize(crop(images[rows], generator)).contiguous(memory_format=layout)
        update(model, optimizer, X, labels[rows], autocast)

    return step
