"""The checks of CIFAR-10 and ResNet-20 pass right answers, and name the mistake in wrong ones."""

import math
import textwrap

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from helpers import checks
from helpers.checks import cifar10_resnet

# What torch warns of in some of the planted answers.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ANSWERS = {
    "lenet5": '''
def lenet5():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
''',
    "channel_statistics": '''
def channel_statistics(images):
    pixels = images.float() / 255
    return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
''',
    "ImagesWithLabels": '''
class ImagesWithLabels(Dataset):
    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.from_numpy(self.images[i])
        return self.transform(image), int(self.labels[i])
''',
    "to_normalized": '''
def to_normalized(mean, std):
    return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
''',
    "loaders": '''
def loaders(train_set, validation_set, batch_size, generator):
    train_loader = DataLoader(train_set, batch_size, shuffle=True, generator=generator)
    validation_loader = DataLoader(validation_set, batch_size)
    return train_loader, validation_loader
''',
    "sgd": '''
def sgd(model, learning_rate, weight_decay):
    return torch.optim.SGD(
        model.parameters(), lr=learning_rate, momentum=0.9, weight_decay=weight_decay
    )
''',
    "train_epoch": '''
def train_epoch(model, loader, optimizer, device):
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
''',
    "evaluate": '''
@torch.no_grad()
def evaluate(model, loader, device):
    model.eval()
    loss_sum = correct = count = 0
    for X, y in loader:
        X, y = X.to(device), y.to(device)
        logits = model(X)
        loss_sum += F.cross_entropy(logits, y, reduction="sum").item()
        correct += (logits.argmax(1) == y).sum().item()
        count += len(y)
    return loss_sum / count, correct / count
''',
    "kaiming_normal": '''
def kaiming_normal(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model
''',
    "crop_and_flip": '''
def crop_and_flip(padding, flip):
    steps = [v2.RandomCrop(32, padding=padding)]
    if flip:
        steps.append(v2.RandomHorizontalFlip(0.5))
    return v2.Compose(steps)
''',
    "Swish": '''
class Swish(nn.Module):
    def forward(self, X):
        return X * torch.sigmoid(X)
''',
    "normalized_lenet5": '''
def normalized_lenet5(activation=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.BatchNorm2d(6),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.BatchNorm2d(16),
        activation(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.BatchNorm1d(120),
        activation(),
        nn.Linear(120, 84),
        nn.BatchNorm1d(84),
        activation(),
        nn.Linear(84, 10),
    )
''',
    "l1_penalty": '''
def l1_penalty(model):
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return sum(layer.weight.abs().sum() for layer in layers)
''',
    "ResidualBlock": '''
class ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def shortcut(self, X):
        X = X[:, :, :: self.stride, :: self.stride]
        return F.pad(X, (0, 0, 0, 0, 0, self.new_channels)) if self.new_channels else X

    def forward(self, X):
        Y = F.relu(self.norm1(self.conv1(X)))
        Y = self.norm2(self.conv2(Y))
        return F.relu(Y + self.shortcut(X))
''',
    "ResNet": '''
class ResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        blocks, channels = [], 16
        for width in (16, 32, 64):
            for _ in range(n):
                blocks.append(ResidualBlock(channels, width, stride=width // channels))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(channels, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, X):
        X = F.relu(self.norm(self.conv(X)))
        return self.linear(self.blocks(X).mean((2, 3)))
''',
    "one_cycle": '''
def one_cycle(step, steps, peak, warm_up):
    turn = max(1, round(warm_up * steps))
    return peak * min((step + 1) / turn, (steps - step) / (steps - turn + 1))
''',
    "predict": '''
@torch.no_grad()
def predict(model, images):
    model.eval()
    return torch.cat([model(normalize(part)) for part in images.split(500)]).cpu()
''',
    "calibration": '''
def calibration(logits, labels, bins):
    top, answers = logits.softmax(1).max(1)
    correct = (answers == labels).double()
    place = (top * bins).ceil().long() - 1
    count = torch.bincount(place, minlength=bins)
    confidence = torch.bincount(place, top, minlength=bins) / count
    accuracy = torch.bincount(place, correct, minlength=bins) / count
    return confidence, accuracy, count
''',
    "temperature": '''
def temperature(logits, labels):
    log_t = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_t.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_t.exp().item()
''',
}  # fmt: skip


def written(name: str, *changes: tuple[str, str], source: str = "") -> object:
    """Return the right answer called `name`, or that of `source`, with each `old` made `new`."""
    source = source or ANSWERS[name]
    for old, new in changes:
        assert old in source, f"{old!r} does not occur"
        source = source.replace(old, new)
    names = {"torch": torch, "nn": nn, "F": F, "math": math, "np": np, "v2": v2}
    names |= {"Dataset": Dataset, "DataLoader": DataLoader}
    exec(compile(textwrap.dedent(source), "answer", "exec"), names)
    return names[name]


def judged(name: str, answer: object, capsys) -> tuple[int, str]:
    """Return how many parts an answer fails, and what is printed about each."""
    check = getattr(cifar10_resnet, name)
    points = len(check.parts)
    failed = points - checks.graded(check, answer, points)
    out = capsys.readouterr()
    assert "Traceback" not in out.out + out.err
    return round(failed), out.out


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_pass(name, capsys):
    getattr(cifar10_resnet, name)(written(name))
    assert capsys.readouterr().out.startswith(f"✓ {name}: ")
