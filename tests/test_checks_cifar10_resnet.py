"""The checks of CIFAR-10 and ResNet-20 pass right answers, and name the mistake in wrong ones."""

import math
import re
from functools import partial

import numpy as np
import planting
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from helpers.checks import cifar10_resnet

# What torch warns of in some of the planted answers.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ANSWERS = {
    "lenet5": """
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
""",
    "channel_statistics": """
def channel_statistics(images):
    pixels = images.float() / 255
    return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
""",
    "ImagesWithLabels": """
class ImagesWithLabels(Dataset):
    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.from_numpy(self.images[i])
        return self.transform(image), int(self.labels[i])
""",
    "to_normalized": """
def to_normalized(mean, std):
    return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
""",
    "loaders": """
def loaders(train_set, validation_set, batch_size, generator):
    train_loader = DataLoader(train_set, batch_size, shuffle=True, generator=generator)
    validation_loader = DataLoader(validation_set, batch_size)
    return train_loader, validation_loader
""",
    "sgd": """
def sgd(model, learning_rate, weight_decay):
    return torch.optim.SGD(
        model.parameters(), lr=learning_rate, momentum=0.9, weight_decay=weight_decay
    )
""",
    "train_epoch": """
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
""",
    "evaluate": """
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
""",
    "kaiming_normal": """
def kaiming_normal(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model
""",
    "crop_and_flip": """
def crop_and_flip(padding, flip):
    steps = [v2.RandomCrop(32, padding=padding)]
    if flip:
        steps.append(v2.RandomHorizontalFlip(0.5))
    return v2.Compose(steps)
""",
    "Swish": """
class Swish(nn.Module):
    def forward(self, X):
        return X * torch.sigmoid(X)
""",
    "normalized_lenet5": """
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
""",
    "l1_penalty": """
def l1_penalty(model):
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return sum(layer.weight.abs().sum() for layer in layers)
""",
    "ResidualBlock": """
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
""",
    "ResNet": """
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
""",
    "one_cycle": """
def one_cycle(step, steps, peak, warm_up):
    turn = max(1, round(warm_up * steps))
    return peak * min((step + 1) / turn, (steps - step) / (steps - turn + 1))
""",
    "predict": """
@torch.no_grad()
def predict(model, images):
    model.eval()
    return torch.cat([model(normalize(part)) for part in images.split(500)]).cpu()
""",
    "calibration": """
def calibration(logits, labels, bins):
    top, answers = logits.softmax(1).max(1)
    correct = (answers == labels).double()
    place = (top * bins).ceil().long() - 1
    count = torch.bincount(place, minlength=bins)
    confidence = torch.bincount(place, top, minlength=bins) / count
    accuracy = torch.bincount(place, correct, minlength=bins) / count
    return confidence, accuracy, count
""",
    "temperature": """
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
""",
}


def written(name: str, *changes: tuple[str, str], source: str = "") -> object:
    """Return the right answer called `name`, or that of `source`, with each `old` made `new`."""
    source = source or ANSWERS[name]
    names = {"torch": torch, "nn": nn, "F": F, "math": math, "np": np, "v2": v2}
    names |= {"Dataset": Dataset, "DataLoader": DataLoader}
    exec(compile(planting.edited(source, changes), "answer", "exec"), names)
    return names[name]


judged = partial(planting.judged, cifar10_resnet)


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_pass(name, capsys):
    getattr(cifar10_resnet, name)(written(name))
    assert capsys.readouterr().out.startswith(f"✓ {name}: ")


# The same network with blocks of its own, which the reference's do not replace.
OWN_BLOCKS = """
class Block(nn.Module):
    def __init__(self, number, narrow, wide, stride):
        super().__init__()
        self.number, self.stride, self.new = number, stride, wide - narrow
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)

    def forward(self, X):
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        X = X[:, :, :: self.stride, :: self.stride]
        X = F.pad(X, (0, 0, 0, 0, self.new // 2, self.new // 2))
        return F.relu(Y + X)


class ResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        blocks = []
        for i in range(3 * n):
            wide = 16 * 2 ** (i // n)
            narrow = wide // 2 if i in (n, 2 * n) else wide
            blocks.append(Block(i + 1, narrow, wide, wide // narrow))
        self.body = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, X):
        return self.head(self.body(self.stem(X)))
"""

LENET_CLASS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc3 = nn.Linear(84, 10)
        self.fc2, self.fc1 = nn.Linear(120, 84), nn.Linear(400, 120)
        self.conv2, self.conv1 = nn.Conv2d(6, 16, 5), nn.Conv2d(3, 6, 5)

    def forward(self, X):
        X = F.max_pool2d(F.relu(self.conv1(X)), 2)
        X = F.max_pool2d(F.relu(self.conv2(X)), 2)
        X = F.relu(self.fc1(X.flatten(1)))
        X = F.relu(X @ self.fc2.weight.T + self.fc2.bias)
        return self.fc3(X)


def lenet5():
    return Net()
"""

NORMALIZED_CLASS = """
class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.act = activation()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5, bias=False), nn.Conv2d(6, 16, 5, bias=False)
        self.fc1, self.fc2 = nn.Linear(400, 120, bias=False), nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(6), nn.BatchNorm2d(16), nn.BatchNorm1d(120), nn.BatchNorm1d(84)]
        )

    def forward(self, X):
        X = self.act(F.max_pool2d(self.norms[0](self.conv1(X)), 2))
        X = F.max_pool2d(self.act(self.norms[1](self.conv2(X))), 2)
        X = self.act(self.norms[2](self.fc1(torch.flatten(X, 1))))
        return self.fc3(self.act(self.norms[3](self.fc2(X))))


def normalized_lenet5(activation=nn.ReLU):
    return Net(activation)
"""

# Other ways to write the same: a name, and what is written instead of what, or all of it.
OTHERS = [
    ("lenet5", LENET_CLASS),
    ("lenet5", [("nn.Linear(16 * 5 * 5, 120)", "nn.LazyLinear(120)")]),
    ("lenet5", [("nn.ReLU(),\n        nn.MaxPool2d(2)", "nn.MaxPool2d(2), nn.ReLU(True)")]),
    ("lenet5", [("nn.MaxPool2d(2)", "nn.Sequential(nn.MaxPool2d(2, 2))")]),
    ("channel_statistics", [(".std((0, 2, 3))", ".std((0, 2, 3), correction=0)")]),
    (
        "channel_statistics",
        """
        def channel_statistics(images):
            pixels = images.transpose(0, 1).reshape(3, -1).double().div(255)
            std, mean = torch.std_mean(pixels, 1)
            return mean.float(), std.float()
        """,
    ),
    (
        "channel_statistics",
        """
        def channel_statistics(images):
            means, squares = [], []
            for c in range(3):
                values = images[:, c].flatten().bincount(minlength=256).double()
                share, grey = values / values.sum(), torch.arange(256) / 255
                means.append((share * grey).sum())
                squares.append((share * grey**2).sum())
            mean = torch.stack(means)
            return mean, (torch.stack(squares) - mean**2).sqrt()
        """,
    ),
    (
        "ImagesWithLabels",
        [
            (
                "self.images, self.labels, self.transform = images, labels, transform",
                "self.X, self.y = torch.from_numpy(images), torch.from_numpy(labels)\n"
                "        self.transform = transform",
            ),
            ("len(self.images)", "self.y.shape[0]"),
            ("torch.from_numpy(self.images[i])", "self.X[i]"),
            ("int(self.labels[i])", "self.y[i]"),
        ],
    ),
    (
        "ImagesWithLabels",
        [
            ("torch.from_numpy(self.images[i])", "torch.tensor(self.images[i])"),
            ("int(self.labels[i])", "self.labels[i]"),
        ],
    ),
    (
        "ImagesWithLabels",
        [("        self.images", "        super().__init__()\n        self.images")],
    ),
    ("to_normalized", [("v2.Normalize(mean, std)", "v2.Normalize(mean.tolist(), std.tolist())")]),
    (
        "to_normalized",
        """
        def to_normalized(mean, std):
            shape = (3, 1, 1)
            return lambda image: (image / 255 - mean.view(shape)) / std.view(shape)
        """,
    ),
    (
        "to_normalized",
        """
        class ToNormalized(nn.Module):
            def __init__(self, mean, std):
                super().__init__()
                self.mean, self.std = mean, std

            def forward(self, image):
                X = image.to(torch.float32).mul_(1 / 255)
                return X.sub_(self.mean[:, None, None]).div_(self.std[:, None, None])


        def to_normalized(mean, std):
            return ToNormalized(mean, std)
        """,
    ),
    ("to_normalized", [("v2.Compose([v2", "v2.Compose([v2.ToImage(), v2")]),
    (
        "loaders",
        [
            (
                "train_set, batch_size, shuffle=True, generator=generator",
                "train_set, batch_size, sampler=torch.utils.data.RandomSampler("
                "train_set, generator=generator)",
            )
        ],
    ),
    ("loaders", [("generator=generator)", "generator=generator, num_workers=2, pin_memory=True)")]),
    ("loaders", [("(validation_set, batch_size)", "(dataset=validation_set, batch_size=1000)")]),
    (
        "loaders",
        [
            (
                "    train_loader",
                "    order = torch.randperm(len(train_set), generator=generator).tolist()\n"
                "    train_set = torch.utils.data.Subset(train_set, order)\n    train_loader",
            )
        ],
    ),
    ("sgd", [("momentum=0.9", "momentum=0.9, nesterov=False, foreach=False")]),
    (
        "sgd",
        [
            (
                "model.parameters()",
                "[{'params': [p], 'weight_decay': weight_decay} for p in model.parameters()]",
            ),
            (", weight_decay=weight_decay", ""),
        ],
    ),
    (
        "train_epoch",
        [
            ("optimizer.zero_grad()", "model.zero_grad()"),
            ("F.cross_entropy(logits, y)", "nn.CrossEntropyLoss()(logits, y)"),
        ],
    ),
    (
        "train_epoch",
        [
            ("loss.item()", "loss.detach()"),
            (".sum().item()", ".sum()"),
            ("count += len(y)", "count += y.shape[0]"),
        ],
    ),
    (
        "train_epoch",
        [
            ("        optimizer.zero_grad()\n", ""),
            (
                "        optimizer.step()\n",
                "        optimizer.step()\n        optimizer.zero_grad()\n",
            ),
            ("/ count, correct / count", "/ len(loader.dataset), correct / len(loader.dataset)"),
        ],
    ),
    (
        "train_epoch",
        [
            (
                "X.to(device), y.to(device)",
                "(t.to(device=device, non_blocking=True) for t in (X, y))",
            )
        ],
    ),
    (
        "train_epoch",
        [
            (
                "        loss.backward()\n        optimizer.step()",
                "        optimizer.step(lambda: loss.backward() or loss)",
            )
        ],
    ),
    ("evaluate", [("@torch.no_grad()", "@torch.inference_mode()")]),
    (
        "evaluate",
        """
        def evaluate(model, loader, device):
            was_training = model.training
            model.train(False)
            with torch.no_grad():
                pairs = [(model(X.to(device)).cpu(), y.to(device).cpu()) for X, y in loader]
            model.train(was_training)
            logits, labels = map(torch.cat, zip(*pairs))
            accuracy = (logits.argmax(dim=-1) == labels).float().mean()
            return nn.functional.cross_entropy(logits, labels), accuracy
        """,
    ),
    (
        "evaluate",
        [
            (
                'F.cross_entropy(logits, y, reduction="sum").item()',
                "F.nll_loss(logits.log_softmax(1), y).item() * y.size(0)",
            )
        ],
    ),
    (
        "kaiming_normal",
        """
        def draw(layer):
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                with torch.no_grad():
                    layer.weight.copy_(
                        torch.randn(layer.weight.shape) * (2 / layer.weight[0].numel()) ** 0.5
                    )
                    if layer.bias is not None:
                        layer.bias.fill_(0)


        def kaiming_normal(model):
            return model.apply(draw)
        """,
    ),
    (
        "kaiming_normal",
        """
        def kaiming_normal(model):
            for name, p in model.named_parameters():
                if p.dim() > 1:
                    nn.init.kaiming_normal_(p)
            for m in model.modules():
                if isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is not None:
                    m.bias.data.zero_()
            return model
        """,
    ),
    (
        "crop_and_flip",
        [("[v2.RandomCrop(32, padding=padding)]", "[v2.Pad(padding), v2.RandomCrop((32, 32))]")],
    ),
    (
        "crop_and_flip",
        """
        def crop_and_flip(padding, flip):
            def transform(image):
                if flip and torch.rand(1) < 0.5:
                    image = image.flip(2)
                row, column = np.random.randint(2 * padding + 1, size=2)
                framed = F.pad(image, [padding] * 4)
                return framed[:, row : row + 32, column : column + 32]

            return transform
        """,
    ),
    (
        "crop_and_flip",
        [("v2.RandomHorizontalFlip(0.5)", "v2.RandomApply([v2.RandomHorizontalFlip(1.0)], 0.5)")],
    ),
    ("Swish", [("X * torch.sigmoid(X)", "F.silu(X)")]),
    ("Swish", "class Swish(nn.SiLU):\n    pass\n"),
    ("Swish", [("X * torch.sigmoid(X)", "X.sigmoid().mul(X)")]),
    ("normalized_lenet5", NORMALIZED_CLASS),
    ("normalized_lenet5", [("nn.Conv2d(6, 16, 5)", "nn.Conv2d(6, 16, 5, bias=False)")]),
    (
        "normalized_lenet5",
        [
            ("nn.Linear(400, 120)", "nn.LazyLinear(120)"),
            ("nn.BatchNorm1d(84)", "nn.Sequential(nn.BatchNorm1d(84))"),
        ],
    ),
    (
        "l1_penalty",
        """
        def l1_penalty(model):
            return sum(p.norm(1) for p in model.parameters() if p.dim() > 1)
        """,
    ),
    (
        "l1_penalty",
        """
        def l1_penalty(model):
            kinds = nn.Conv2d, nn.Linear
            weights = [m.weight.flatten() for m in model.modules() if isinstance(m, kinds)]
            return torch.linalg.vector_norm(torch.cat(weights), ord=1)
        """,
    ),
    ("ResidualBlock", [("0, 0, self.new_channels)", "0, self.new_channels, 0)")]),
    (
        "ResidualBlock",
        [("0, 0, self.new_channels)", "0, self.new_channels // 2, self.new_channels // 2)")],
    ),
    (
        "ResidualBlock",
        [
            (
                "        X = X[:, :, :: self.stride, :: self.stride]\n",
                "        X = F.max_pool2d(X, 1, self.stride)\n",
            ),
            (
                "F.pad(X, (0, 0, 0, 0, 0, self.new_channels))",
                "torch.cat([X, torch.zeros(len(X), self.new_channels, *X.shape[2:])], 1)",
            ),
            ("F.relu(Y + self.shortcut(X))", "F.relu_(Y.add_(self.shortcut(X)))"),
        ],
    ),
    (
        "ResidualBlock",
        """
        class ResidualBlock(nn.Module):
            def __init__(self, in_channels, out_channels, stride=1):
                super().__init__()
                self.wide, self.stride = out_channels, stride
                self.body = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 3, stride, 1),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(out_channels, out_channels, 3, 1, 1),
                    nn.BatchNorm2d(out_channels),
                )

            def forward(self, X):
                Y = self.body(X)
                padded = torch.zeros_like(Y)
                padded[:, : X.shape[1]] = X[..., :: self.stride, :: self.stride]
                return torch.relu(padded + Y)
        """,
    ),
    ("ResNet", OWN_BLOCKS),
    (
        "ResNet",
        [
            (
                "        for module in self.modules():\n"
                "            if isinstance(module, nn.Conv2d):\n"
                "                nn.init.kaiming_normal_(module.weight)",
                "        kaiming_normal(self)",
            )
        ],
    ),
    (
        "ResNet",
        [("self.blocks(X).mean((2, 3))", "F.adaptive_avg_pool2d(self.blocks(X), 1).flatten(1)")],
    ),
    (
        "one_cycle",
        """
        def one_cycle(step, steps, peak, warm_up):
            rising = max(1, int(warm_up * steps))
            if step < rising:
                return peak * (step + 1) / rising
            falling = steps - rising
            return peak * (1 - (step - rising + 1) / (falling + 1))
        """,
    ),
    (
        "one_cycle",
        """
        def one_cycle(step, steps, peak, warm_up):
            turn = max(1, math.ceil(warm_up * steps))
            return np.interp(step + 1, [0, turn, steps + 1], [0, peak, 0])
        """,
    ),
    (
        "predict",
        """
        def predict(model, images):
            model.eval()
            logits = []
            with torch.inference_mode():
                for start in range(0, len(images), 1000):
                    part = normalize(images[start : start + 1000])
                    logits.append(model(part).cpu())
            return torch.cat(logits)
        """,
    ),
    (
        "predict",
        [
            ("model.eval()", "was_training = model.training\n    model.eval()"),
            ("images.split(500)", "torch.chunk(images, 9)"),
            (".cpu()", '.to("cpu")'),
        ],
    ),
    (
        "calibration",
        """
        def calibration(logits, labels, bins):
            confidence = F.softmax(logits, dim=1).amax(1)
            correct = logits.argmax(1) == labels
            edges = torch.linspace(0, 1, bins + 1)
            results = torch.full((2, bins), torch.nan)
            counts = []
            for b in range(bins):
                inside = (confidence > edges[b]) & (confidence <= edges[b + 1])
                counts.append(int(inside.sum()))
                if counts[-1]:
                    results[0, b] = confidence[inside].mean()
                    results[1, b] = correct[inside].float().mean()
            return *results, torch.tensor(counts)
        """,
    ),
    (
        "calibration",
        """
        def calibration(logits, labels, bins):
            top, answers = (t.numpy() for t in logits.softmax(1).max(1))
            place = np.minimum((top * bins).astype(int), bins - 1)
            total, _ = np.histogram(place, range(bins + 1))
            sums = [np.bincount(place, w, bins) for w in (top, answers == labels.numpy())]
            with np.errstate(all="ignore"):
                return sums[0] / total, sums[1] / total, total
        """,
    ),
    (
        "temperature",
        """
        def temperature(logits, labels):
            grid = torch.arange(0.1, 10, 0.01)
            losses = torch.stack([F.cross_entropy(logits / t, labels) for t in grid])
            return grid[losses.argmin()].item()
        """,
    ),
    (
        "temperature",
        """
        def temperature(logits, labels):
            b = torch.ones((), requires_grad=True)
            for _ in range(30):
                loss = F.cross_entropy(logits * b, labels)
                (slope,) = torch.autograd.grad(loss, b, create_graph=True)
                (curvature,) = torch.autograd.grad(slope, b)
                step = slope.detach() / curvature
                b = torch.clamp(b.detach() - step, b.detach() / 2, b.detach() * 2)
                b.requires_grad_()
            return float(1 / b)
        """,
    ),
]


@pytest.mark.parametrize("name, changes", OTHERS)
def test_other_right_answers_pass(name, changes, capsys):
    failed, out = judged(name, changed(name, changes), capsys)
    assert failed == 0, out


def changed(name: str, changes: str | tuple | list) -> object:
    """Return another answer: all of its source, or what is written instead of what."""
    if isinstance(changes, str):
        return written(name, source=changes)
    return written(name, *([changes] if isinstance(changes, tuple) else changes))


RELU = "nn.ReLU(),\n"
TRAIN_LOSS = "loss_sum += loss.item() * len(y)"
EVALUATE_LOSS = 'loss_sum += F.cross_entropy(logits, y, reduction="sum").item()'
STEP = "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n"
PLACE = "place = (top * bins).ceil().long() - 1"
DRAW = 'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")'
COMPOSED = "v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])"
SWISH = "X * torch.sigmoid(X)"
SIZE = "layer.weight.abs().sum()"
PENALTY = f"sum({SIZE} for layer in layers)"
END = "F.relu(Y + self.shortcut(X))"
OWN_END = "return F.relu(Y + X)"
RATE = "peak * min((step + 1) / turn, (steps - step) / (steps - turn + 1))"
PARTS = "torch.cat([model(normalize(part)) for part in images.split(500)])"
GRID = """
def temperature(logits, labels):
    grid = torch.arange(0.1, 10, 0.01)
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in grid])
    return grid[losses.argmin()].item()
"""


def own_blocks(*changes: tuple[str, str]) -> str:
    """Return the network with blocks of its own, with each `old` made `new`."""
    return planting.edited(OWN_BLOCKS, changes)


# What is written instead of what, how many parts fail, and what the hint says, if there is one.
WRONG = {
    "lenet5": [
        (("nn.ReLU()", "nn.Identity()"), 2, "missing after the first convolution, .* and FC2"),
        (
            ("16 * 5 * 5, 120),\n        nn.ReLU()", "16 * 5 * 5, 120),\n        nn.Identity()"),
            2,
            "ReLU is missing after FC1",
        ),
        (
            ("nn.Linear(84, 10)", "nn.Linear(84, 10), nn.Softmax(1)"),
            2,
            "a softmax stands at the end",
        ),
        (("nn.Linear(84, 10)", "nn.Linear(84, 10), nn.LogSoftmax(1)"), 2, "a log-softmax stands"),
        (("nn.Linear(84, 10)", "nn.Linear(84, 10), nn.ReLU()"), 2, "a ReLU stands at the end"),
        (("nn.ReLU()", "nn.Sigmoid()"), 2, "a sigmoid stands in place of every ReLU"),
        (("nn.ReLU()", "nn.LeakyReLU()"), 2, "a leaky ReLU stands in place of every"),
        (("nn.MaxPool2d(2)", "nn.AvgPool2d(2)"), 2, "average pooling stands in place of every"),
        (
            [("nn.Conv2d(3, 6, 5)", "nn.Conv2d(3, 6, 5, padding=2)"), ("5 * 5, 120", "6 * 6, 120")],
            4,
            "the first convolution has padding=2, and none is asked for",
        ),
        (("5)", "5, padding=2)"), 4, "1024 numbers reach .*in_features=400.*padding=2"),
        (("nn.MaxPool2d(2)", "nn.MaxPool2d(2, 1)"), 4, "has the stride 1 and the second pooling"),
        (("nn.Conv2d(3, 6, 5)", "nn.Conv2d(1, 6, 5)"), 4, "as many input channels"),
        (
            [("nn.Conv2d(3, 6, 5)", "nn.Conv2d(3, 6, 3, padding=1)"), ("5 * 5, 120", "6 * 6, 120")],
            4,
            "kernel_size is 3",
        ),
        (("nn.Linear(120, 84)", "nn.Linear(120, 84, bias=False)"), 4, "bias=False leaves"),
        (
            ("nn.Conv2d(6, 16, 5),", "nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16),"),
            4,
            "BatchNorm2d is not part of this network",
        ),
        (("nn.Linear(84, 10)", "nn.Dropout(), nn.Linear(84, 10)"), 1, "as dropout does"),
        (("        nn.Flatten(),\n", ""), 4, r"nn.Flatten\(\) is missing before FC1"),
        (
            [("nn.Linear(120, 84),\n        nn.ReLU(),\n", ""), ("(84, 10)", "(120, 10)")],
            4,
            "a layer is missing",
        ),
        (("84", "80"), 4, "fc2 has 80 outputs and should have 84"),
        (("nn.Linear(84, 10)", "nn.Linear(84, 100)"), 4, "10 outputs"),
        (("    return nn", "    torch.manual_seed(0)\n    return nn"), 1, "a seed is set inside"),
        (
            "net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2),"
            "nn.Conv2d(6, 16, 5),"
            "nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(),"
            "nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))\n"
            "def lenet5():\n    return net\n",
            1,
            "made once, outside the function",
        ),
        (LENET_CLASS.replace("return Net()", "return Net"), 4, r"make one: Net\(\)"),
        (
            [
                ("return nn.Sequential(", "return ["),
                ("nn.Linear(84, 10),\n    )", "nn.Linear(84, 10),\n    ]"),
            ],
            4,
            "",
        ),
        (("nn.Linear(84, 10),\n    )", "nn.Linear(84, 10),\n    ).double()"), 4, ""),
        (
            [("nn.ReLU()", "nn.Identity()"), ("(84, 10)", "(84, 10), nn.Softmax(1)")],
            2,
            "two: ReLU is missing .*; and a softmax stands at the end",
        ),
    ],
    "channel_statistics": [
        ((" / 255", ""), 3, "not divided by 255"),
        (("/ 255", "/ 256"), 3, "divided by 256"),
        (("images.float() / 255", "(images // 255).float()"), 3, "whole numbers"),
        (("pixels.mean((0, 2, 3))", "pixels.mean((0, 2))"), 2, "the columns are left out"),
        (("(0, 2, 3)", "(2, 3)"), 3, "not over the images"),
        (("(0, 2, 3)", "(1, 2, 3)"), 3, "over the channels and not over the images"),
        (("(0, 2, 3)", "0"), 3, "over the images alone"),
        (("(0, 2, 3)", ""), 3, "one number is computed for all channels"),
        (("pixels.std", "pixels.var"), 2, "this is the variance"),
        (("pixels.std((0, 2, 3))", "pixels.mean((2, 3)).std(0)"), 2, "that of the images' means"),
        (
            ("pixels.std((0, 2, 3))", "pixels.std((2, 3)).mean(0)"),
            2,
            "deviations of the images are averaged",
        ),
        (("= images", "= images[:1]"), 3, "only the first image"),
        (
            (
                "return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))",
                "return pixels.std((0, 2, 3)), pixels.mean((0, 2, 3))",
            ),
            3,
            "in the wrong order",
        ),
        (("(0, 2, 3))", "(0, 2, 3), keepdim=True)"), 3, "only the shape is not"),
        (("images.float() / 255", "images"), 3, "uint8"),
        (("return pixels.mean((0, 2, 3)), ", "return "), 3, ""),
        (("pixels = ", "images //= 1; images[0] = 0; pixels = "), 3, "in place"),
        (
            ("pixels.std((0, 2, 3))", "pixels.square().mean((0, 2, 3)).sqrt()"),
            2,
            "not subtracted before squaring",
        ),
        (
            (
                "return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))",
                "return pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()",
            ),
            3,
            r"torch.tensor\(",
        ),
    ],
    "ImagesWithLabels": [
        (("self.transform(image)", "image"), 1, r"self.transform\(image\) is missing"),
        (("self.images[i])", "self.images[i]).permute(1, 2, 0)"), 2, r"moved to \[height, width"),
        (("self.images[i])", "self.images[i]).permute(2, 0, 1)"), 2, r"are \[3, 32, 32\] already"),
        (("self.images[i])", "self.images[i]) / 255"), 2, "divided by 255 before the transform"),
        (("self.images[i])", "self.images[i]).float()"), 1, "divides bytes by 255"),
        (("torch.from_numpy(self.images[i])", "self.images[i]"), 2, "makes a tensor of an array"),
        (("self.images[i]", "self.images[0]"), 2, "this is image 0, not image 4"),
        (("self.images[i])", "self.images[i])[None]"), 2, "the loader does that"),
        (
            (
                "self.transform(image), int(self.labels[i])",
                "int(self.labels[i]), self.transform(image)",
            ),
            3,
            "the label comes last",
        ),
        (("int(self.labels[i])", "i"), 2, "the number of the item"),
        (("int(self.labels[i])", "float(self.labels[i])"), 1, "needs int64"),
        (("int(self.labels[i])", "torch.eye(10)[self.labels[i]]"), 2, "one-hot"),
        (("int(self.labels[i])", "self.labels"), 2, "all labels"),
        (("len(self.images)", "self.images.shape[1]"), 2, "number of channels"),
        (("len(self.images)", "self.images.size"), 2, "all pixels"),
        (("len(self.images)", "len(self.images) - 1"), 2, "one image is left out"),
        (("(Dataset)", ""), 1, r"class ImagesWithLabels\(Dataset\)"),
        (
            [
                (
                    "= images, labels, transform",
                    "= [transform(torch.from_numpy(image)) for image in images], labels, transform",
                ),
                ("image = torch.from_numpy(self.images[i])", "image = self.images[i]"),
                ("self.transform(image)", "image"),
            ],
            1,
            "call it in __getitem__",
        ),
        (("self.transform(image), int", "self.transform(image) and image, int"), 3, ""),
        (
            ("return self.transform(image), int(self.labels[i])", "return self.transform(image)"),
            3,
            "",
        ),
    ],
    "to_normalized": [
        ((", scale=True", ""), 2, "scale=True"),
        ((", v2.Normalize(mean, std)", ""), 2, "Normalize is missing"),
        (("(mean, std)])", "(std, mean)])"), 2, "swapped"),
        (("(mean, std)])", "(mean, std**2)])"), 2, "variance"),
        (("(mean, std)])", "(mean, std.sqrt())])"), 2, "the root of std"),
        (("(mean, std)])", "(-mean, std)])"), 2, "the mean is added"),
        (("(mean, std)])", "(mean, 1 / std)])"), 2, "std is multiplied by"),
        (("(mean, std)])", "(0 * mean, std)])"), 2, "the mean is not subtracted"),
        (("(mean, std)])", "(mean, torch.ones(3))])"), 2, "std is not divided by"),
        (("(mean, std)])", "(mean / 255, std / 255)])"), 2, "or mean and std are"),
        (("(mean, std)])", "([0.5] * 3, [0.5] * 3)])"), 2, "mapped to -1…1"),
        (("(mean, std)])", "([mean.mean()] * 3, [std.mean()] * 3)])"), 2, "averaged over the"),
        (("float32", "float64"), 2, "computes in float32"),
        (
            (
                "v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)",
                "v2.Normalize(mean, std), v2.ToDtype(torch.float32, scale=True)",
            ),
            2,
            "comes before it",
        ),
        (
            (
                COMPOSED,
                "lambda x: (x / 255 - x.float().mean() / 255) / (x / 255).std()",
            ),
            2,
            "the image's own mean",
        ),
        (
            (
                COMPOSED,
                "lambda x: (x / 255 - mean) / std",
            ),
            2,
            r"mean\[:, None, None\]",
        ),
        (
            (
                COMPOSED,
                "lambda x: (x / 255) / std[:, None, None] - mean[:, None, None]",
            ),
            2,
            "after the division by std",
        ),
        (("return v2.Compose(", "return list("), 2, "v2.Compose"),
    ],
    "loaders": [
        ((", shuffle=True, generator=generator", ""), 2, "shuffle=True belongs to the training"),
        (("shuffle=True, ", ""), 2, "shuffle=True belongs to the training"),
        (
            ("(validation_set, batch_size)", "(validation_set, batch_size, shuffle=True)"),
            1,
            "training images alone",
        ),
        (("generator=generator", "generator=generator, drop_last=True"), 2, "drop_last=True"),
        (
            ("(validation_set, batch_size)", "(validation_set, batch_size, drop_last=True)"),
            2,
            "drop_last=True",
        ),
        ((", generator=generator", ""), 1, "generator=generator is not passed"),
        (("=generator)", "=torch.Generator().manual_seed(0))"), 1, "with a fixed seed"),
        (
            (
                "shuffle=True, generator=generator",
                "sampler=torch.utils.data.RandomSampler(train_set, replacement=True, "
                "generator=generator)",
            ),
            2,
            "with replacement",
        ),
        (
            ("train_loader, validation_loader\n", "validation_loader, train_loader\n"),
            5,
            "images of the other set",
        ),
        (
            ("DataLoader(train_set, batch_size", "DataLoader(train_set"),
            1,
            "a DataLoader's own is 1",
        ),
        (("validation_set, batch_size)", "train_set, batch_size)"), 2, "images of the other set"),
        (
            [
                (
                    "    train_loader",
                    "    order = torch.randperm(len(train_set), generator=generator).tolist()\n"
                    "    train_set = torch.utils.data.Subset(train_set, order)\n    train_loader",
                ),
                (", shuffle=True, generator=generator", ""),
            ],
            1,
            "one is drawn for all",
        ),
        (("return train_loader, validation_loader", "return train_loader"), 5, ""),
        (
            (
                "return train_loader, validation_loader",
                "return list(train_loader), list(validation_loader)",
            ),
            5,
            "",
        ),
    ],
    "sgd": [
        ((", momentum=0.9", ""), 2, "momentum has no effect"),
        (("momentum=0.9", "momentum=0.99"), 2, "momentum is 0.99"),
        (("momentum=0.9", "momentum=0.9, nesterov=True"), 4, "Nesterov"),
        (("momentum=0.9", "momentum=0.9, dampening=0.9"), 2, "dampening"),
        ((", weight_decay=weight_decay", ""), 2, "weight_decay is not passed on"),
        (("=weight_decay", "=weight_decay / 2"), 2, "weight_decay is halved"),
        (("=weight_decay", "=weight_decay * learning_rate"), 2, "which SGD does by itself"),
        (("=weight_decay", "=5e-4"), 4, "weight_decay is always 0.0005"),
        (("lr=learning_rate", "lr=0.01"), 4, "the learning rate is always 0.01"),
        (("=weight_decay", "=weight_decay, maximize=True"), 4, "maximize is on"),
        (("model.parameters()", "model[3].parameters()"), 4, "are all of them"),
        (("model.parameters()", "__import__('copy').deepcopy(model).parameters()"), 4, "a copy"),
        (
            [
                (
                    "model.parameters()",
                    "[{'params': [p for n, p in model.named_parameters() if 'bias' in n],"
                    "'weight_decay': 0}, {'params': "
                    "[p for n, p in model.named_parameters() if 'bias' not in "
                    "n]}]",
                )
            ],
            2,
            "biases and shifts have no penalty",
        ),
        ([("torch.optim.SGD", "torch.optim.AdamW"), ("momentum=0.9, ", "")], 4, ""),
        ([("torch.optim.SGD", "torch.optim.Adam"), ("momentum=0.9, ", "")], 4, ""),
        (("=weight_decay", "=weight_decay, nesterov=True"), 4, "Nesterov"),
        (("return torch", "return model, torch"), 4, ""),
    ],
    "train_epoch": [
        (("        optimizer.zero_grad()\n", ""), 1, r"optimizer.zero_grad\(\) is missing"),
        (
            ("F.cross_entropy(logits, y)", "F.cross_entropy(logits.softmax(1), y)"),
            2,
            "a softmax comes before",
        ),
        (("F.cross_entropy(logits, y)", "F.nll_loss(logits, y)"), 2, "without a log-softmax"),
        (
            ("F.cross_entropy(logits, y)", 'F.cross_entropy(logits, y, reduction="sum")'),
            2,
            "summed, and should be averaged",
        ),
        (
            [
                (TRAIN_LOSS, "loss_sum += loss.item()"),
                ("loss_sum / count", "loss_sum / len(loader)"),
            ],
            1,
            "a mean of the batches' means",
        ),
        ((TRAIN_LOSS, "loss_sum += loss.item()"), 1, "divided by all images"),
        (("loss_sum / count", "loss.item()"), 1, "only the last batch"),
        (("loss_sum / count", "loss_sum"), 1, "summed, and should be averaged"),
        (
            [("loss_sum / count, correct / count", "loss_sum / count, correct / count * 100")],
            1,
            "in per cent",
        ),
        (("loss_sum / count, correct", "loss_sum / count, 1 - correct"), 1, "wrong answers"),
        (
            ("correct / count", "(logits.argmax(1) == y).float().mean().item()"),
            1,
            "only the last batch",
        ),
        (
            ("loss_sum / count, correct / count", "correct / count, loss_sum / count"),
            2,
            "in the wrong order",
        ),
        (("    model.train()\n", ""), 1, r"model.train\(\) belongs before"),
        (("model.train()", "model.eval()"), 1, r"model.train\(\) belongs before"),
        (("loss.item()", "loss"), 5, "graphs of all batches"),
        (
            (
                "        loss.backward()\n        optimizer.step()",
                "        optimizer.step()\n        loss.backward()",
            ),
            1,
            "no gradient|step before",
        ),
        (("        loss.backward()\n", ""), 1, r"loss.backward\(\) is missing"),
        (("        optimizer.step()\n", ""), 3, r"optimizer.step\(\) is missing"),
        (
            ("        optimizer.step()\n", "        optimizer.step()\n        optimizer.step()\n"),
            3,
            "twice",
        ),
        (
            [
                ("        optimizer.zero_grad()\n", ""),
                (
                    "        optimizer.step()",
                    "        optimizer.zero_grad()\n        optimizer.step()",
                ),
            ],
            1,
            r"zero_grad\(\) stands between",
        ),
        (("X.to(device), y.to(device)", "X, y"), 1, "the batch has to go there"),
        (("X.to(device), y.to(device)", "X.to(device), y"), 1, "the batch has to go there"),
        (("X.to(device), y.to(device)", "X.cuda(), y.cuda()"), 5, '"cuda" is written out'),
        (("    return", "        return"), 2, "after the first batch"),
        (
            (
                STEP + "        loss_sum",
                STEP.replace("        ", "    ", 0) + "        logits = "
                "model(X)\n        loss = F.cross_entropy(logits, y)\n        loss_sum",
            ),
            5,
            "twice for each batch",
        ),
        (
            (
                "    return",
                "    model.eval()\n    loss_sum = correct = 0\n    for X, y in loader:\n"
                "        X, y = X.to(device), y.to(device)\n        logits = model(X)\n"
                "        loss_sum += F.cross_entropy(logits, y).item() * len(y)\n"
                "        correct += (logits.argmax(1) == y).sum().item()\n    return",
            ),
            5,
            "gone through more than once",
        ),
        (
            ("        loss.backward()", "        (loss / len(loader)).backward()"),
            1,
            "divided by the number of batches",
        ),
        (
            (
                "        optimizer.step()",
                "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
                "        optimizer.step()",
            ),
            1,
            "clipped",
        ),
        (("model(X)\n", "model(X / 255)\n"), 2, "divided by 255 again"),
    ],
    "evaluate": [
        (("    model.eval()\n", ""), 1, r"model.eval\(\) is missing"),
        (("model.eval()", "model.train()"), 1, r"model.eval\(\) is missing"),
        (("@torch.no_grad()\n", ""), 1, r"torch.no_grad\(\) is missing"),
        (
            [
                (EVALUATE_LOSS, "loss_sum += F.cross_entropy(logits, y).item()"),
                ("loss_sum / count", "loss_sum / len(loader)"),
            ],
            1,
            "a mean of the batches' means",
        ),
        (
            (EVALUATE_LOSS, "loss_sum += F.cross_entropy(logits, y).item()"),
            1,
            "divided by all images",
        ),
        (("loss_sum / count", "loss_sum / len(loader)"), 1, "divided by the number of batches"),
        ((', reduction="sum").item()', ").item() * loader.batch_size"), 1, "batch_size images"),
        (("correct / count", "100 * correct / count"), 1, "in per cent"),
        (("correct / count", "correct"), 1, "counted, not their fraction"),
        (("correct / count", "correct // count"), 1, "whole-number division"),
        (
            ("loss_sum / count, correct / count", "correct / count, loss_sum / count"),
            2,
            "in the wrong order",
        ),
        (("argmax(1)", "argmin(1)"), 1, "argmin"),
        (
            ("F.cross_entropy(logits, y", "F.cross_entropy(logits.softmax(1), y"),
            1,
            "a softmax comes before",
        ),
        (("X.to(device), y.to(device)", "X, y"), 1, "the batch has to go there"),
        (("    return", "        return"), 3, "after the first batch"),
        (
            (
                "    return loss_sum / count, correct / count",
                "    return F.cross_entropy(logits, y), (logits.argmax(1) == y).float().mean()",
            ),
            2,
            "only the last batch",
        ),
        (("return loss_sum / count, correct / count", "return correct / count"), 5, ""),
        (("in loader", "in list(loader)[:-1]"), 5, "some batches never reach the network"),
    ],
    "kaiming_normal": [
        (("model.modules()", "model.children()"), 4, "only the outermost layers"),
        (("model.modules()", "model"), 4, "model.modules\\(\\) finds all layers"),
        (("kaiming_normal_", "kaiming_uniform_"), 1, "the distribution is uniform"),
        (('nonlinearity="relu"', 'mode="fan_out"'), 2, "this is the fan-out"),
        ((DRAW, "nn.init.xavier_normal_(layer.weight)"), 2, "Glorot"),
        ((DRAW, "nn.init.kaiming_normal_(layer.weight, a=5**0.5)"), 2, "PyTorch's default start"),
        (('nonlinearity="relu"', 'nonlinearity="linear"'), 2, "the 2 for ReLU is missing"),
        (
            (DRAW, "nn.init.normal_(layer.weight, 0, 2 / layer.weight[0].numel())"),
            2,
            "the deviation is its root",
        ),
        ((DRAW, "nn.init.normal_(layer.weight, 0, 0.01)"), 2, "all layers have the deviation 0.01"),
        (
            (DRAW, "nn.init.normal_(layer.weight, 0, (2 / layer.weight.shape[1]) ** 0.5)"),
            1,
            "the channels alone",
        ),
        (
            (
                DRAW,
                "layer.weight.data = torch.rand(layer.weight.shape) * 3**0.5 "
                "* (2 / layer.weight[0].numel()) ** 0.5",
            ),
            1,
            "all positive",
        ),
        (("nn.init.zeros_(layer.bias)", "pass"), 1, "left as they were"),
        (("nn.init.zeros_", "nn.init.ones_"), 1, "set to a constant"),
        (("nn.Conv2d | nn.Linear", "nn.Conv2d"), 4, "both nn.Conv2d and nn.Linear"),
        (("nn.Conv2d | nn.Linear", "nn.Linear"), 4, "both nn.Conv2d and nn.Linear"),
        ((DRAW, "torch.manual_seed(0); " + DRAW), 3, "a seed is set"),
        (
            (
                "    return model",
                "        elif hasattr(layer, 'running_mean'):\n"
                "            nn.init.ones_(layer.weight)\n"
                "            nn.init.zeros_(layer.bias)\n    return model",
            ),
            1,
            "only convolutions and",
        ),
        (("    return model", "    return"), 4, "return statement is missing"),
        (
            ("    for layer", "    model = __import__('copy').deepcopy(model)\n    for layer"),
            4,
            "in place",
        ),
        (
            ("            if layer.bias is not None:\n                nn", "            nn"),
            4,
            "layer.bias is None",
        ),
    ],
    "crop_and_flip": [
        (("v2.RandomCrop(32, padding=padding)", "v2.RandomCrop(32)"), 1, "nothing is cropped"),
        (("padding=padding", "padding=padding, padding_mode='reflect'"), 3, "mirrors the image"),
        (("padding=padding", "padding=padding, padding_mode='edge'"), 3, "repeats the border"),
        (("padding=padding", "padding=padding, fill=255"), 3, "the frame is white"),
        (("padding=padding", "padding=4"), 3, "the frame has 4 pixels on each side, not"),
        (("padding=padding", "padding=2 * padding"), 3, "the frame has 8 pixels on each side"),
        (("    if flip:", "    if True:"), 2, "`flip` is not looked at"),
        (("    if flip:", "    if not flip:"), 2, "the wrong way round"),
        (("    if flip:", "    if False:"), 1, "RandomHorizontalFlip is missing"),
        (("v2.RandomHorizontalFlip(0.5)", "v2.RandomHorizontalFlip(1.0)"), 1, "every image is"),
        (("v2.RandomHorizontalFlip(0.5)", "v2.RandomHorizontalFlip(0.1)"), 1, "mirrors half"),
        (("v2.RandomHorizontalFlip(0.5)", "v2.RandomVerticalFlip(0.5)"), 2, "upside down"),
        (("v2.RandomCrop(32, padding=padding)", "v2.CenterCrop(32)"), 1, "nothing is cropped"),
        (("v2.RandomCrop(32, padding=padding)", "v2.Pad(padding)"), 3, "is not cut out"),
        (("v2.RandomCrop(32, padding=padding)", "v2.RandomResizedCrop(32)"), 3, "resized"),
        (
            (
                "return v2.Compose(steps)",
                "return v2.Compose(steps + [v2.ToDtype(torch.float32, scale=True)])",
            ),
            3,
            "a transform of its own",
        ),
        (("return v2.Compose(steps)", "return steps"), 3, "v2.Compose"),
        (
            (
                "    return v2.Compose(steps)",
                "    top, left = np.random.randint(2 * padding + 1, size=2)\n"
                "    return lambda x: F.pad(x, [padding] * 4)[:, top : top + 32, left : left + 32]",
            ),
            3,
            "drawn anew at each call|drawn once",
        ),
        (
            (
                "    return v2.Compose(steps)",
                "    def transform(x):\n"
                "        top, left = np.random.randint(max(1, 2 * padding), size=2)\n"
                "        return F.pad(x, [padding] * 4)[:, top : top + 32, left : left + 32]\n"
                "    return transform",
            ),
            2,
            "the last place is left out",
        ),
    ],
    "Swish": [
        ((SWISH, "torch.sigmoid(X)"), 4, "the x is missing"),
        ((SWISH, "F.relu(X)"), 4, "this is ReLU"),
        ((SWISH, "X + torch.sigmoid(X)"), 4, "x is added"),
        ((SWISH, "X * torch.tanh(X)"), 4, "tanh stands in place"),
        ((SWISH, "F.gelu(X)"), 4, "this is GELU"),
        ((SWISH, "X * torch.sigmoid(1.702 * X)"), 4, "1.702"),
        ((SWISH, "F.hardswish(X)"), 4, "hard Swish"),
        ((SWISH, "F.mish(X)"), 4, "Mish"),
        ((SWISH, "X * torch.sigmoid(-X)"), 4, "sign inside"),
        ((SWISH, "X * F.softmax(X, 1)"), 4, "softmax"),
        ((SWISH, "X.mul_(torch.sigmoid(X))"), 3, "in place"),
        ((SWISH, "X * torch.sigmoid(X).detach()"), 2, "gradient is cut off"),
        ((SWISH, "X / (1 + torch.exp(-X))"), 1, "overflow|division by zero"),
        ((SWISH, "(X.float() * torch.sigmoid(X.float()))"), 4, "number type"),
        (
            (
                "class Swish(nn.Module):\n",
                "class Swish(nn.Module):\n    def __init__(self):\n        "
                "super().__init__()\n        self.beta = nn.Parameter(torch.ones(()))\n\n",
            ),
            4,
            "β is fixed",
        ),
        (("class Swish(nn.Module)", "class Swish"), 4, r"class Swish\(nn.Module\)"),
        ("def Swish(X):\n    return X * torch.sigmoid(X)\n", 4, r"class Swish\(nn.Module\)"),
    ],
    "normalized_lenet5": [
        (
            [
                (
                    f"nn.BatchNorm{d}d({n}),\n        activation()",
                    f"activation(), nn.BatchNorm{d}d({n})",
                )
                for d, n in ((2, 6), (2, 16), (1, 120), (1, 84))
            ],
            3,
            "behind every activation",
        ),
        (
            [
                (
                    f"nn.BatchNorm{d}d({n}),\n        activation()",
                    f"activation(), nn.BatchNorm{d}d({n})",
                )
                for d, n in ((2, 6), (2, 16))
            ],
            3,
            "behind each convolution's activation",
        ),
        (
            ("nn.Linear(84, 10)", "nn.Linear(84, 10), nn.BatchNorm1d(10)"),
            4,
            "behind the last layer",
        ),
        (("        nn.BatchNorm1d(84),\n", ""), 4, "normalisation behind this layer is missing"),
        (("        nn.BatchNorm2d(6),\n", ""), 4, "normalisation behind this layer is missing"),
        (("activation(),", "nn.ReLU(),"), 1, "ReLU stands in place of every tanh"),
        (("activation(),", "nn.Identity(),"), 3, "missing after the first convolution, .* FC2"),
        (
            ("nn.BatchNorm1d(84),\n        activation()", "nn.BatchNorm1d(84), nn.Identity()"),
            3,
            "is missing after FC2",
        ),
        (
            ("nn.BatchNorm2d(6)", "nn.BatchNorm2d(6, track_running_stats=False)"),
            4,
            "keeps no running averages",
        ),
        (
            ("nn.BatchNorm2d(6)", "nn.InstanceNorm2d(6, affine=True)"),
            4,
            "keeps no running averages",
        ),
        (("nn.BatchNorm2d(6)", "nn.GroupNorm(1, 6)"), 4, "keeps no running averages"),
        (("nn.BatchNorm2d(6)", "nn.BatchNorm2d(6, affine=False)"), 4, "affine=False"),
        (("nn.BatchNorm2d(6)", "nn.BatchNorm1d(6)"), 4, "behind linear layers"),
        (
            [
                (
                    "nn.BatchNorm2d(6),\n        activation(),\n        nn.MaxPool2d(2)",
                    "activation(), nn.MaxPool2d(2), nn.BatchNorm2d(6)",
                ),
                (
                    "nn.BatchNorm2d(16),\n        activation(),\n        nn.MaxPool2d(2)",
                    "activation(), nn.MaxPool2d(2), nn.BatchNorm2d(16)",
                ),
            ],
            3,
            "after the pooling",
        ),
        (("activation(),", "activation,"), 4, "activation is a class"),
        (("nn.Linear(84, 10)", "nn.Dropout(), nn.Linear(84, 10)"), 1, "as dropout does"),
        (
            ("nn.Linear(84, 10)", "nn.Linear(84, 10), nn.Softmax(1)"),
            3,
            "a softmax stands at the end",
        ),
        (("nn.MaxPool2d(2)", "nn.AvgPool2d(2)"), 3, "average pooling stands in place of every"),
        (
            NORMALIZED_CLASS.replace("self.norms[1](", "self.norms[0]("),
            4,
            "another number of channels",
        ),
    ],
    "l1_penalty": [
        ((PENALTY, "sum(p.abs().sum() for p in model.parameters())"), 2, "acts on all parameters"),
        (
            (PENALTY, "sum(p.abs().sum() for n, p in model.named_parameters() if 'bias' not in n)"),
            2,
            "scales of the normalisation",
        ),
        (
            (SIZE, f"{SIZE} + (0 if layer.bias is None else layer.bias.abs().sum())"),
            2,
            "biases of the layers too",
        ),
        ((SIZE, "layer.weight.square().sum()"), 2, "that is the L2 penalty"),
        ((SIZE, "layer.weight.abs().mean()"), 2, "the mean of each layer"),
        ((SIZE, "layer.weight.sum()"), 2, "the absolute value is missing"),
        ((SIZE, "layer.weight.sum().abs()"), 2, "each layer's sum"),
        ((SIZE, "layer.weight.norm()"), 2, "Euclidean length of each"),
        ((SIZE, "layer.weight.abs().max()"), 2, "largest absolute weight"),
        ((SIZE, SIZE + ".item()"), 1, "cut off"),
        ((SIZE, "layer.weight.detach().abs().sum()"), 1, "cut off"),
        (("(nn.Conv2d, nn.Linear)", "nn.Conv2d"), 2, "linear layers belong to it"),
        (("(nn.Conv2d, nn.Linear)", "nn.Linear"), 2, "convolutions belong to it"),
        (("model.modules()", "model.children()"), 2, "only the outermost layers"),
        ((PENALTY, PENALTY + " / 2"), 2, "half of what"),
        ((PENALTY, PENALTY + " / len(layers)"), 2, "mean over the layers"),
        ((PENALTY, PENALTY + " ** 0.5"), 2, ""),
        ((PENALTY, "-" + PENALTY), 2, "sign is wrong"),
        ((PENALTY, "layers[-1].weight.abs().sum()"), 2, "only the last layer"),
        ((SIZE, "layer.weight.data.abs_().sum()"), 2, "work on a copy"),
    ],
    "ResidualBlock": [
        ((END, "F.relu(Y)"), 4, "the shortcut is missing"),
        (
            (END, "F.relu(Y + self.shortcut(X) if not self.new_channels else Y)"),
            3,
            "the shortcut is missing|left out where the size changes",
        ),
        (
            (END, "F.relu(Y + self.shortcut(X) if self.new_channels else Y)"),
            3,
            "the shortcut is missing",
        ),
        ((END, "Y + self.shortcut(X)"), 4, "ReLU is missing at the end"),
        ((END, "F.relu(Y) + self.shortcut(X)"), 4, "ReLU stands before the addition"),
        ((END, "F.relu(F.relu(Y) + self.shortcut(X))"), 4, "a ReLU before the addition, beside"),
        ((END, "F.relu(Y * self.shortcut(X))"), 4, "multiplied"),
        ((END, "F.relu(Y + F.relu(self.shortcut(X)))"), 4, "ReLU is applied to the shortcut"),
        ((END, "F.relu(Y + self.shortcut(X).detach())"), 1, "passes no gradient on"),
        (
            ("self.norm1(self.conv1(X))", "self.conv1(X)"),
            4,
            "normalisation norm1 is made and never",
        ),
        (
            ("self.norm2(self.conv2(Y))", "self.conv2(Y)"),
            4,
            "normalisation norm2 is made and never",
        ),
        (
            ("self.norm2(self.conv2(Y))", "self.norm1(self.conv2(Y))"),
            4,
            "norm2 is made and never applied",
        ),
        (
            [
                ("self.norm2(self.conv2(Y))", "self.norm1(self.conv2(Y))"),
                ("        self.norm2 = nn.BatchNorm2d(out_channels)\n", ""),
            ],
            4,
            "one normalisation serves",
        ),
        (
            ("F.relu(self.norm1(self.conv1(X)))", "self.norm1(F.relu(self.conv1(X)))"),
            4,
            "stands behind ReLU",
        ),
        (
            ("F.relu(self.norm1(self.conv1(X)))", "self.norm1(self.conv1(X))"),
            4,
            "missing between the two convolutions",
        ),
        (
            [
                ("3, stride, padding=1", "3, padding=1"),
                (
                    "out_channels, out_channels, 3, padding",
                    "out_channels, out_channels, 3, stride, padding",
                ),
            ],
            3,
            "the stride is in the second convolution",
        ),
        (("3, stride, padding=1", "3, padding=1"), 3, "every 2nd pixel"),
        (
            [
                ("3, stride, padding=1", "3, padding=1"),
                ("X = X[:, :, :: self.stride, :: self.stride]", "pass"),
            ],
            3,
            "stride is not passed on",
        ),
        (
            [
                (
                    "self.new_channels = out_channels - in_channels",
                    "self.change = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)",
                ),
                ("self.shortcut(X)", "self.change(X)"),
            ],
            4,
            "option B",
        ),
        (
            ("X = X[:, :, :: self.stride, :: self.stride]", "X = F.avg_pool2d(X, self.stride)"),
            3,
            "averages over windows",
        ),
        (
            ("X = X[:, :, :: self.stride, :: self.stride]", "X = F.max_pool2d(X, self.stride)"),
            3,
            "maxima over windows",
        ),
        (
            (
                "X = X[:, :, :: self.stride, :: self.stride]",
                "X = X[:, :, self.stride - 1 :: self.stride, self.stride - 1 :: self.stride]",
            ),
            3,
            "odd rows",
        ),
        (
            ("F.pad(X, (0, 0, 0, 0, 0, self.new_channels))", "torch.cat([X, X], 1)"),
            3,
            "repeat the input",
        ),
        ((", padding=1", ""), 4, "padding=1"),
        (
            ("F.relu(self.norm1(self.conv1(X)))", "F.relu(self.norm1(self.conv1(F.relu_(X))))"),
            4,
            "in place",
        ),
        ((END, "self.norm2(Y + self.shortcut(X))"), 4, ""),
        (
            [
                ("Y = self.norm2(self.conv2(Y))", "Y = self.conv2(Y)"),
                (END, "F.relu(self.norm2(Y + self.shortcut(X)))"),
            ],
            4,
            "behind the addition",
        ),
        (
            (
                "self.norm1 = nn.BatchNorm2d(out_channels)",
                "self.norm1 = nn.BatchNorm2d(out_channels, track_running_stats=False)",
            ),
            4,
            "keeps running averages",
        ),
        (
            (
                "self.norm1 = nn.BatchNorm2d(out_channels)",
                "self.norm1 = nn.GroupNorm(1, out_channels)",
            ),
            4,
            "keeps running averages",
        ),
        (("F.relu", "F.leaky_relu"), 4, "a leaky ReLU stands"),
        (
            [
                (END, "Y + self.shortcut(X)"),
                ("F.relu(self.norm1(self.conv1(X)))", "self.norm1(self.conv1(X))"),
            ],
            4,
            "two: ",
        ),
        (("self.conv2(Y)", "self.conv2(F.dropout(Y, 0.5, self.training))"), 1, "as dropout does"),
    ],
    "ResNet": [
        (
            own_blocks((OWN_END, "return F.relu(Y + X if self.number in (1, 4) else Y)")),
            2,
            r"the shortcut is missing",
        ),
        (own_blocks((OWN_END, "return Y + X")), 2, "ReLU is missing at the end"),
        (
            own_blocks((OWN_END, "return Y + X if self.number == 9 else F.relu(Y + X)")),
            2,
            "ReLU is missing at the end",
        ),
        (own_blocks((OWN_END, "return F.relu(Y) + X")), 2, "before the addition, and should"),
        (
            own_blocks((OWN_END, "return F.relu(Y if self.new else Y + X)")),
            2,
            "shortcut is missing",
        ),
        (
            own_blocks(
                (
                    "Y = self.bn2(self.conv2(Y))",
                    "Y = self.conv2(Y)\n        Y = Y if self.number == 5 else self.bn2(Y)",
                )
            ),
            5,
            "normalisation body.4.bn2 is made and never",
        ),
        (
            own_blocks(
                (
                    "Y = F.relu(self.bn1(self.conv1(X)))",
                    "Y = self.bn1(self.conv1(X))\n        Y = Y if self.number == 2 else F.relu(Y)",
                )
            ),
            2,
            "missing between the two convolutions",
        ),
        (
            own_blocks(
                ("X = X[:, :, :: self.stride, :: self.stride]", "X = F.avg_pool2d(X, self.stride)")
            ),
            2,
            "averages over windows",
        ),
        (
            own_blocks(
                (
                    "        self.bn2 = nn.BatchNorm2d(wide)\n",
                    "        self.bn2 = nn.BatchNorm2d(wide)\n"
                    "        self.skip = nn.Conv2d(narrow, "
                    "wide, 1, stride, bias=False)\n",
                ),
                (OWN_END, "return F.relu(Y + (self.skip(Z) if self.new else X))"),
                (
                    "    def forward(self, X):\n        Y =",
                    "    def forward(self, X):\n        Z = X\n        Y =",
                ),
            ),
            5,
            "option B",
        ),
        (
            own_blocks(
                (
                    "        for m in self.modules():\n            if isinstance(m, nn.Conv2d):\n"
                    '                nn.init.kaiming_normal_(m.weight, mode="fan_out", '
                    'nonlinearity="relu")\n',
                    "",
                )
            ),
            1,
            "PyTorch's default start",
        ),
        (
            own_blocks(("kaiming_normal_(m.weight, mode", "kaiming_uniform_(m.weight, mode")),
            1,
            "the distribution is uniform",
        ),
        (
            own_blocks(
                (
                    'nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")',
                    "nn.init.normal_(m.weight, 0, 0.01)",
                )
            ),
            1,
            "the deviation 0.01",
        ),
        (own_blocks(("nn.AvgPool2d(8)", "nn.MaxPool2d(8)")), 2, "maxima of the maps"),
        (
            own_blocks(("nn.Linear(64, 10)", "nn.Linear(64, 10), nn.Softmax(1)")),
            2,
            "a softmax stands at the end",
        ),
        (
            own_blocks(("nn.Linear(64, 10)", "nn.ReLU(), nn.Linear(64, 10), nn.ReLU()")),
            2,
            "a ReLU stands at the end",
        ),
        (own_blocks(("nn.AvgPool2d(8), ", "")), 5, "become"),
        (
            own_blocks(("nn.BatchNorm2d(16), nn.ReLU()\n", "nn.BatchNorm2d(16)\n")),
            2,
            "ReLU is missing behind the first convolution",
        ),
        (
            own_blocks(("nn.BatchNorm2d(16), nn.ReLU()\n", "nn.ReLU(), nn.BatchNorm2d(16)\n")),
            2,
            "before the first normalisation",
        ),
        (own_blocks(("nn.BatchNorm2d(16), nn.ReLU()\n", "nn.ReLU()\n")), 5, "is missing"),
        (own_blocks(("bias=False", "bias=True")), 1, "bias=False"),
        (own_blocks(("range(3 * n)", "range(3 * n - 1)")), 5, r"3 · 3 blocks"),
        (
            own_blocks(
                ("range(3 * n)", "range(9)"), ("i // n)", "i // 3)"), ("(n, 2 * n)", "(3, 6)")
            ),
            1,
            "blocks of two",
        ),
        (
            own_blocks(("nn.Conv2d(3, 16, 3, 1, 1", "nn.Conv2d(3, 16, 3, 2, 1")),
            5,
            "the maps are too small",
        ),
        (own_blocks(("nn.Conv2d(3, 16, 3, 1, 1", "nn.Conv2d(3, 16, 7, 1, 3")), 5, "3 × 3"),
        (own_blocks(("nn.Linear(64, 10)", "nn.Linear(64, 10, bias=False)")), 5, "it has a bias"),
        (own_blocks(("nn.Linear(64, 10)", "nn.Linear(64, 100)")), 5, "ten outputs"),
        (("stride=width // channels", "stride=1"), 2, "the stride is missing"),
        (("self.blocks(X).mean((2, 3))", "self.blocks(X).sum((2, 3))"), 2, "sums of the maps"),
        (("self.norm(self.conv(X))", "self.conv(X)"), 5, "norm is made and never applied"),
        (("(16, 32, 64)", "(16, 32, 32)"), 5, "the widths are"),
    ],
    "one_cycle": [
        ((RATE, "peak * (steps - step) / steps"), 2, "the warm-up is ignored"),
        ((RATE, "peak * min((step + 1) / turn, 1)"), 2, "it should fall"),
        ((RATE, "peak"), 3, "always the peak"),
        (("(step + 1) / turn", "step / turn"), 2, "begins at 0"),
        (
            ("(steps - step) / (steps - turn + 1)", "(steps - 1 - step) / (steps - turn)"),
            2,
            "reaches 0 at the last",
        ),
        (("(steps - turn + 1)", "(steps - turn)"), 2, "in one step too few"),
        (
            (
                RATE,
                "peak * ((step + 1) / turn if step < turn else "
                "0.5 + 0.5 * math.cos(math.pi * (step - turn) / (steps - turn)))",
            ),
            2,
            "cosine",
        ),
        ((RATE, "peak * ((step + 1) / turn if step < turn else 1 - step / steps)"), 1, "jumps"),
        ((RATE, "peak * (step + 1) / steps"), 3, "rises during all steps"),
        (("warm_up * steps", "(1 - warm_up) * steps"), 3, "the share in which the rate falls"),
        (("round(warm_up * steps)", "round(warm_up)"), 2, "a number of steps"),
        (("round(warm_up * steps)", "round(0.2 * steps)"), 3, "warm_up is always 0.2"),
        (("return peak * ", "return "), 3, "parts of 1"),
        (("min(", "max("), 3, "the larger of the two"),
        (("    turn", "    step = step + 1\n    turn"), 3, "one step too early"),
        (("    turn", "    step = max(step - 1, 0)\n    turn"), 3, "one step too late"),
        (("max(1, round(warm_up * steps))", "round(warm_up * steps)"), 1, ""),
        (("return peak", "return -peak"), 3, "sign"),
        (("    return", "    rate ="), 3, "return statement is missing"),
    ],
    "predict": [
        (("model.eval()", "pass"), 3, r"model.eval\(\) is missing"),
        (("@torch.no_grad()\n", ""), 1, r"torch.no_grad\(\) is missing"),
        (("normalize(part)", "part / 255"), 2, "divided by 255 and not normalised"),
        (("normalize(part)", "part.float()"), 2, "not normalised"),
        (("normalize(part)", "part"), 3, "makes floats"),
        (("normalize(part)", "normalize(part / 255)"), 2, "divided by 255 before"),
        (("normalize(part)", "normalize(normalize(part))"), 2, "normalised twice"),
        ((PARTS, PARTS + ".softmax(1)"), 2, "probabilities are returned"),
        ((PARTS, PARTS + ".log_softmax(1)"), 2, "logarithms of probabilities"),
        ((PARTS, PARTS + ".argmax(1)"), 3, "classes are returned"),
        ((PARTS, "model(normalize(images))"), 1, r"images.split\(500\) gives parts"),
        (("images.split(500)", "images[: len(images) // 50 * 50].split(50)"), 2, "left out"),
        (
            (PARTS, "[model(normalize(part)) for part in images.split(500)][-1]"),
            1,
            "only the last part",
        ),
        (("images.split(500)", "images.split(500)[::-1]"), 1, "reverse order"),
        ((PARTS, PARTS + ".T"), 2, "images first"),
        (("    return", "    images //= 2\n    return"), 3, "in place"),
        ((PARTS + ".cpu()", PARTS + ".numpy()"), 3, ""),
        (
            (
                PARTS,
                "torch.cat([model(normalize(images[i : i + 500])) for i in "
                "range(0, len(images) - 499, 500)])",
            ),
            2,
            "left out",
        ),
    ],
    "calibration": [
        ((PLACE, PLACE + "; place[top == 1] = bins"), 1, "a bin behind the last"),
        ((PLACE, "place = (top * bins).floor().long()"), 1, "a bin behind the last"),
        (
            (
                "return confidence, accuracy, count",
                "return confidence.nan_to_num(0), accuracy.nan_to_num(0), count",
            ),
            1,
            "empty bins have 0, and should have NaN",
        ),
        (
            [
                (
                    PLACE,
                    "keep = top < 1; top, correct = top[keep], correct[keep]; "
                    "place = (top * bins).floor().long()",
                )
            ],
            1,
            "closed at 1|1.0 fall behind",
        ),
        (("return confidence, accuracy", "return accuracy, confidence"), 4, "in the wrong order"),
        (
            (
                "top, answers = logits.softmax(1).max(1)",
                "top, answers = logits.softmax(1).max(1); "
                "top = logits.softmax(1).gather(1, labels[:, None])"
                "[:, 0]",
            ),
            5,
            "the probability of the label",
        ),
        (("top, minlength=bins) / count", "top, minlength=bins)"), 3, "added up"),
        (("correct, minlength=bins) / count", "correct, minlength=bins)"), 3, "counted, not"),
        (("/ count", "/ len(top)"), 4, "over all images"),
        (
            ("    return", "    confidence = (torch.arange(bins) + 0.5) / bins\n    return"),
            3,
            "the middle of each bin",
        ),
        (("    return", "    accuracy = 100 * accuracy\n    return"), 3, "per cent"),
        (("    return", "    accuracy = 1 - accuracy\n    return"), 3, "wrong answers"),
        (("    return", "    count = count / len(top)\n    return"), 2, "a share of all"),
        (("logits.softmax(1)", "logits.sigmoid()"), 5, "a sigmoid"),
        (
            ("(top * bins).ceil().long() - 1", "top.argsort().argsort() * bins // len(top)"),
            5,
            "as many images",
        ),
        (
            (
                "(top * bins).ceil().long() - 1",
                "((top - 1 / logits.shape[1]) / (1 - 1 / "
                "logits.shape[1]) * bins).ceil().long().clamp(1, bins) - 1",
            ),
            5,
            "1 / classes",
        ),
        (
            ("(top * bins).ceil().long() - 1", "(top * bins).round().long().clamp(max=bins - 1)"),
            5,
            "nearest bin",
        ),
        (("answers == labels", "logits.argmin(1) == labels"), 3, "argmin"),
        (
            (
                "    return",
                "    full = count > 0\n    confidence, accuracy, count = (v[full] for v in "
                "(confidence, accuracy, count))\n    return",
            ),
            5,
            "empty bins belong to it",
        ),
        (("return confidence, accuracy, count", "return confidence, accuracy"), 5, ""),
        (("logits.softmax(1).max(1)", "logits.max(1)"), 5, ""),
    ],
    "temperature": [
        (("return log_t.exp().item()", "return (-log_t).exp().item()"), 3, "1 / T"),
        ([("logits / log_t.exp()", "logits * log_t.exp()")], 3, "multiplied by T"),
        (("return log_t.exp().item()", "return log_t.item()"), 3, "ln T is returned"),
        (("logits / log_t.exp()", "logits.softmax(1) / log_t.exp()"), 3, "a softmax comes before"),
        (("    optimizer.step(closure)\n", ""), 3, "stays at 1"),
        (("labels)\n        loss", "logits.argmax(1))\n        loss"), 3, ""),
        (("logits / log_t.exp()", "logits / log_t.exp() ** 2"), 3, "root of T|T²"),
        (
            ("return log_t.exp().item()", "return closure().item()"),
            3,
            "least cross-entropy, not its",
        ),
        (("return log_t.exp().item()", "return log_t.exp()"), 3, r"\.item\(\) makes a number"),
        (
            (
                "log_t = torch.zeros((), requires_grad=True)",
                "logits.requires_grad_(); log_t = torch.zeros((), requires_grad=True)",
            ),
            3,
            "only T is fitted",
        ),
        (GRID.replace("argmin()]", "argmax()]"), 3, ""),
        (GRID.replace("0.01)", "0.5)"), 3, ""),
        (GRID.replace("argmin()].item()", "argmin()].item() ** 2"), 3, r"T² is returned"),
        (
            GRID.replace("return grid[losses.argmin()].item()", "return losses.argmin().item()"),
            3,
            "",
        ),
        (("max_iter=100", "max_iter=1"), 3, ""),
        (("    log_t =", "    logits /= 2\n    log_t ="), 3, "in place"),
    ],
}


@pytest.mark.parametrize(
    "name, changes, failing, hint",
    [(name, *line) for name, lines in WRONG.items() for line in lines],
)
def test_wrong_answers_are_named(name, changes, failing, hint, capsys):
    failed, out = judged(name, changed(name, changes), capsys)
    assert failed == failing, out
    assert not hint or re.search(f"(?s)Likely mistake: [^✗]*{hint}", out), out


@pytest.mark.parametrize("name", ANSWERS)
def test_what_does_nothing_earns_nothing(name, capsys):
    check = getattr(cifar10_resnet, name)
    total = len(check.parts)
    head = f"def {name}(*given, **settings):"
    for body in (
        "pass",
        "return given[0] if given else 0",
        "return torch.zeros(2, 3)",
        "return nn.Linear(2, 3)",
        "raise NotImplementedError",
    ):
        answer = written(name, source=f"{head}\n    {body}")
        assert judged(name, answer, capsys)[0] == total, body
    assert judged(name, None, capsys)[0] == total
    if not name[0].isupper():
        return
    start, _, _ = ANSWERS[name].rpartition("    def ")
    method = "__getitem__(self, i)" if name == "ImagesWithLabels" else "forward(self, X)"
    for body in ("return None", "return X", "return 0 * X", "raise NotImplementedError"):
        body = body.replace("X", "i") if name == "ImagesWithLabels" else body
        source = f"{start}    def {method}:\n        {body}\n"
        failed, out = judged(name, written(name, source=source), capsys)
        # The length of a data set may be right without any item.
        assert failed >= total - (name == "ImagesWithLabels"), out
