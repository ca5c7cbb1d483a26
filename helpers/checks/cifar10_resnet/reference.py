"""The chapter's answers, written apart from the notebook's own.

`standing_in` puts them into the notebook, so that a check judges one answer and not those that it
calls.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from helpers.checks.scope import replaced

# --- Lab 1


def lenet5() -> nn.Module:
    """Return LeNet-5 for images `[batch, 3, 32, 32]`."""
    return _lenet5(nn.ReLU, [[]] * 4)


def normalized_lenet5(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    """Return LeNet-5 with batch normalisation before each activation."""
    norms = [[nn.BatchNorm2d(6)], [nn.BatchNorm2d(16)], [nn.BatchNorm1d(120)], [nn.BatchNorm1d(84)]]
    return _lenet5(activation, norms)


def _lenet5(activation: Callable[[], nn.Module], norms: list[list[nn.Module]]) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), *norms[0], activation(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), *norms[1], activation(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), *norms[2], activation()),
        *(nn.Linear(120, 84), *norms[3], activation(), nn.Linear(84, 10)),
    )


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation `[channels]` of uint8 `[n, channels, h, w]`, as of 0…1."""
    pixels = images.double().transpose(0, 1).flatten(1) / 255
    return pixels.mean(1), pixels.std(1, correction=0)


class ImagesWithLabels(Dataset):
    """Pairs of a transformed image and its label, from arrays uint8 `[n, 3, 32, 32]` and `[n]`."""

    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(torch.from_numpy(self.images[i])), int(self.labels[i])


def to_normalized(mean: Tensor, std: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map from uint8 `[3, h, w]` to float32 (x / 255 - mean) / std."""

    def transform(image: Tensor) -> Tensor:
        return (image.float() / 255 - mean[:, None, None]) / std[:, None, None]

    return transform


def loaders(
    train_set: Dataset, validation_set: Dataset, batch_size: int, generator: torch.Generator
) -> tuple[DataLoader, DataLoader]:
    """Return a loader that shuffles and one that does not; none drops an image."""
    train_loader = DataLoader(train_set, batch_size, shuffle=True, generator=generator)
    return train_loader, DataLoader(validation_set, batch_size)


def sgd(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return gradient descent with momentum 0.9 and an L2 penalty on all parameters."""
    return torch.optim.SGD(model.parameters(), learning_rate, 0.9, weight_decay=weight_decay)


def train_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    device: torch.device | str,
) -> tuple[float, float]:
    """Take a step on each batch; return loss and accuracy over the images as they were met."""
    model.train()
    loss_sum = correct = count = 0
    for X, y in loader:
        X, y = X.to(device), y.to(device)
        logits = model(X)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(y)
        correct += (logits.argmax(1) == y).sum().item()
        count += len(y)
    return loss_sum / count, correct / count


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: DataLoader, device: torch.device | str
) -> tuple[float, float]:
    """Return mean loss and accuracy over all images, in evaluation mode."""
    model.eval()
    batches = [(model(X.to(device)), y.to(device)) for X, y in loader]
    logits, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    accuracy = (logits.argmax(1) == labels).double().mean()
    return F.cross_entropy(logits, labels).item(), accuracy.item()


def weighted_layers(model: nn.Module) -> list[nn.Module]:
    """Return the convolutions and linear layers, wherever they are in the network."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


@torch.no_grad()
def kaiming_normal(model: nn.Module) -> nn.Module:
    """Draw the weights of convolutions and linear layers from N(0, 2 / fan-in), biases 0."""
    for layer in weighted_layers(model):
        layer.weight.normal_(0, math.sqrt(2 / layer.weight[0].numel()))
        if layer.bias is not None:
            layer.bias.zero_()
    return model


# --- Lab 2


def crop_and_flip(padding: int, flip: bool) -> Callable[[Tensor], Tensor]:
    """Return a random crop of the image in a black frame, mirrored half of the time."""

    def transform(image: Tensor) -> Tensor:
        row, column = torch.randint(2 * padding + 1, (2,)).tolist()
        mirrored = flip and torch.rand(()).item() < 0.5
        return window(image, padding, row, column, mirrored=mirrored)

    return transform


def window(image: Tensor, padding: int, row: int, column: int, *, mirrored: bool = False) -> Tensor:
    """Cut a window of the image's size out of the image in a black frame."""
    height, width = image.shape[-2:]
    framed = F.pad(image, (padding,) * 4)
    cut = framed[..., row : row + height, column : column + width]
    return cut.flip(-1) if mirrored else cut


class Swish(nn.Module):
    """x · σ(x)."""

    def forward(self, X: Tensor) -> Tensor:
        return X * torch.sigmoid(X)


def l1_penalty(model: nn.Module) -> Tensor:
    """Return the sum of the absolute weights of convolutions and linear layers."""
    return sum(layer.weight.abs().sum() for layer in weighted_layers(model))


# --- Lab 3


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a shortcut without parameters (option A)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, X: Tensor) -> Tensor:
        Y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(X)))))
        return F.relu(Y + shortcut(X, self.new_channels, self.stride))


def shortcut(X: Tensor, new_channels: int, stride: int, front: int = 0) -> Tensor:
    """Return every `stride`-th pixel, with zeros as new channels, `front` of them in front."""
    X = X[:, :, ::stride, ::stride]
    return F.pad(X, (0, 0, 0, 0, front, new_channels - front))


class ResNet(nn.Module):
    """The network of 6n + 2 layers for images `[batch, 3, 32, 32]`."""

    def __init__(self, n: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(*(ResidualBlock(*sizes) for sizes in block_sizes(n)))
        self.linear = nn.Linear(64, 10)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, X: Tensor) -> Tensor:
        return self.linear(self.blocks(F.relu(self.norm(self.conv(X)))).mean((2, 3)))


def block_sizes(n: int) -> list[tuple[int, int, int]]:
    """Return in_channels, out_channels and stride of the 3n blocks."""
    widths = [width for width in (16, 32, 64) for _ in range(n)]
    before = [16, *widths[:-1]]
    return [(a, b, b // a) for a, b in zip(before, widths, strict=True)]


def one_cycle(step: int, steps: int, peak: float, warm_up: float) -> float:
    """Return the rate of `step`: up to `peak` at the end of the warm-up, then down towards 0."""
    turn = max(1, round(warm_up * steps))
    return peak * min((step + 1) / turn, (steps - step) / (steps - turn + 1))


def calibration(logits: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean confidence, accuracy and count of each of the bins of (0, 1]; NaN where empty."""
    confidence, answers = logits.double().softmax(1).max(1)
    correct = (answers == labels).double()
    return binned(confidence, correct, (confidence * bins).ceil().long() - 1, bins)


def binned(
    confidence: Tensor, correct: Tensor, places: Tensor, bins: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the means of both and the count in each bin, from the bin of each image.

    What is placed below the first or behind the last bin is not counted.
    """
    inside = [places == b for b in range(bins)]
    means = (torch.stack([values[members].mean() for members in inside])
             for values in (confidence, correct))  # fmt: skip
    return *means, torch.stack([members.sum() for members in inside])


def temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T > 0 that minimises the cross-entropy of logits / T."""
    low, high = math.log(1e-3), math.log(1e3)
    golden = (math.sqrt(5) - 1) / 2
    logits = logits.double()
    # In the inverse of T the loss is convex, so in ln T it has one minimum: golden-section search.
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if cooled_loss(logits, labels, left) < cooled_loss(logits, labels, right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def cooled_loss(logits: Tensor, labels: Tensor, log_temperature: float) -> float:
    """Return the cross-entropy of the logits at a temperature."""
    return F.cross_entropy(logits / math.exp(log_temperature), labels).item()


# `predict` is missing: no other answer calls it.
REFERENCE: dict[str, object] = {
    definition.__name__: definition
    for definition in (
        *(lenet5, channel_statistics, ImagesWithLabels, to_normalized, loaders, sgd),
        *(train_epoch, evaluate, kaiming_normal, crop_and_flip, Swish, normalized_lenet5),
        *(l1_penalty, ResidualBlock, ResNet, one_cycle, calibration, temperature),
    )
}


def standing_in(answer: Callable, name: str, **instead: object) -> AbstractContextManager[None]:
    """Let `answer`, called `name`, find the reference under all other names of the chapter.

    `instead` has what stands for other names.
    """
    others = {other: value for other, value in (REFERENCE | instead).items() if other != name}
    return replaced(answer, others)
