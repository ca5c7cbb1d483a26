"""Steps per second of `helpers.training.train` against a textbook DataLoader loop.

Claim (Intel Xeon at 2.80 GHz, one thread, torch 2.14.0, three rounds of 100 steps): 1.5 times as
many steps per second with pooling and 1.3 times without, because the textbook loop spends its time
on turning single images into tensors.

Both loops train the same network with the same optimizer on real MNIST (stand-in data if it is not
to be had) and are run in turn, several rounds in one process; the ratio is of their totals.

    python benchmarks/training_loop.py [--steps 200] [--rounds 3] [--threads 2] [--device auto]
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from helpers import data, runtime, training


def lenet(pooling: type[nn.Module] | None) -> nn.Sequential:
    """Return LeNet-5 as in `notebooks/hw7.ipynb`, for images `[batch, 1, 28, 28]`."""
    pool = [pooling(2, 2)] if pooling else []
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), *pool,
        nn.Conv2d(6, 16, 5), nn.ReLU(), *pool,
        nn.Flatten(), nn.Linear(400 if pooling else 9216, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class PerImage(Dataset):
    """MNIST as tutorials serve it: one image at a time, transformed in Python."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        self.transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.labels[index])


def textbook_seconds(model, loader, steps, device) -> float:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    batches = iter(loader)
    runtime.synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        try:
            X, y = next(batches)
        except StopIteration:
            batches = iter(loader)
            X, y = next(batches)
        loss = F.cross_entropy(model(X.to(device)), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    runtime.synchronize(device)
    return time.perf_counter() - start


def resident_seconds(model, images, labels, steps) -> float:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = training.train(
        model, optimizer, images, labels, steps=steps, batch_size=64, display_every=steps, seed=0,
        evaluation={"few": (images[:100], labels[:100])}, name="resident",
    )  # fmt: skip
    return history.train_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = runtime.select_device(arguments.device)
    runtime.set_threads(arguments.threads)
    mnist = data.mnist("auto")
    images = torch.from_numpy(mnist.train_images).to(device)
    labels = torch.from_numpy(mnist.train_labels).to(device)
    per_image = PerImage(torch.from_numpy(mnist.train_images), mnist.train_labels)
    loader = DataLoader(per_image, batch_size=64, shuffle=True, drop_last=True)
    print(
        f"{mnist.name}, {runtime.device_name(device)}, {arguments.threads} threads, "
        f"torch {torch.__version__}, {arguments.rounds} rounds of {arguments.steps} steps"
    )
    for name, pooling in (("M_avg", nn.AvgPool2d), ("M_max", nn.MaxPool2d), ("M_no", None)):
        totals = {"textbook": 0.0, "resident": 0.0}
        for round_ in range(arguments.rounds + 1):
            runtime.set_seed(0)
            taken = {"textbook": textbook_seconds(lenet(pooling).to(device), loader,
                                                  arguments.steps, device)}  # fmt: skip
            runtime.set_seed(0)
            taken["resident"] = resident_seconds(
                lenet(pooling).to(device), images, labels, arguments.steps
            )
            if round_:  # the first round warms up
                totals = {key: totals[key] + taken[key] for key in totals}
        count = arguments.rounds * arguments.steps
        rates = {key: count / seconds for key, seconds in totals.items()}
        print(
            f"{name}: resident {rates['resident']:.0f} steps/s, textbook "
            f"{rates['textbook']:.0f} steps/s, ratio {rates['resident'] / rates['textbook']:.2f}"
        )


if __name__ == "__main__":
    main()
