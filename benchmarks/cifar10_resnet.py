"""Seconds an epoch of LeNet-5 and of ResNet-20 on CIFAR-10, and what each choice is worth.

    python benchmarks/cifar10_resnet.py [--threads 2] [--rounds 5] [--device auto]

All versions share one process and take turns, round after round, so that other work on the machine
hits all of them; compared are the medians of a step, scaled to an epoch of 45 000 images in batches
of 128. Networks, stack and optimiser are those of notebooks/cifar10_resnet.ipynb; the images are
random, for time does not depend on them. Every version crops and flips.

Claim (Intel Xeon with AMX at 2.6 GHz, two idle cores and two threads, torch 2.14.0, 3 rounds):
LeNet-5 takes 7.5 s image by image, 3.2 s resident and 1.7 s in a stack of eight; ResNet-20 takes
79 s with channels first, 66 s with channels last and 39 s in bfloat16. An older Xeon at 2.8 GHz,
one thread beside other work, took 17.0, 9.6 and 4.1 s, 238 and 167 s, and has no bfloat16.

- LeNet-5, image by image: each image is cropped, flipped and normalised by itself, as a DataLoader
  with torchvision's transforms does in the main process;
- LeNet-5, resident: the whole batch at once, from bytes on the device;
- LeNet-5, stack of 8: eight networks side by side; the time is that of one;
- ResNet-20, channels first and channels last in memory, in float32, and channels last in bfloat16
  where the device computes in it.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from helpers import augmentation, runtime

ROOT = Path(__file__).resolve().parents[1]
CELLS = ("lenet5", "stack", "stack-train", "resnet")
IMAGES, BATCH, PADDING = 45_000, 128, 4


def notebook_names() -> dict[str, object]:
    """Return what the cells in `CELLS` of the notebook define."""
    text = (ROOT / "notebooks" / "cifar10_resnet.ipynb").read_text(encoding="utf-8")
    sources = {cell["id"]: "".join(cell["source"]) for cell in json.loads(text)["cells"]}
    names = {"nn": nn, "torch": torch, "F": F, "math": math, "sweep_epochs": 1, "epoch": 1}
    for cell_id in CELLS:
        exec(compile(sources[cell_id], cell_id, "exec"), names)
    return names


def versions(device: torch.device) -> dict[str, tuple[Callable[[], None], int]]:
    """Return for each version a function that makes one step, and how many networks it trains."""
    names = notebook_names()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2048, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (2048,), generator=generator).to(device)
    padded = augmentation.pad(images.to(device), PADDING)
    normalize = augmentation.Normalize.fit(images.to(device))
    crop = augmentation.RandomCropFlip(32)
    on_device = torch.Generator(device).manual_seed(0)
    one_by_one = v2.Compose(
        [
            v2.RandomCrop(32, padding=PADDING),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(normalize.mean.flatten().tolist(), normalize.std.flatten().tolist()),
        ]
    )

    def resident(rows: Tensor) -> Tensor:
        return normalize(crop(padded[rows.to(device)], on_device))

    def image_by_image(rows: Tensor) -> Tensor:
        return torch.stack([one_by_one(images[row]) for row in rows]).to(device)

    def step(model, optimizer, loss_function, batch, dtype=None) -> Callable[[], None]:
        def make() -> None:
            rows = torch.randint(len(images), (BATCH,), generator=generator)
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss = loss_function(model(batch(rows)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return make

    def alone(model: nn.Module, batch, channels_last: bool = True, dtype=None):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = model.to(device, memory_format=layout)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

        def in_layout(rows: Tensor) -> Tensor:
            return batch(rows).contiguous(memory_format=layout)

        return step(model, optimizer, F.cross_entropy, in_layout, dtype), 1

    lenet5 = names["lenet5"]
    stack = names["stack"]([lenet5() for _ in range(8)])
    stack = stack.to(device, memory_format=torch.channels_last)
    optimizer = names["StackedSGD"](stack, [0.01] * 8, [5e-4] * 8)
    stacked = step(stack, optimizer, lambda *pair: names["each_loss"](*pair).sum(), resident)
    found = {
        "LeNet-5, image by image": alone(lenet5(), image_by_image),
        "LeNet-5, resident": alone(lenet5(), resident),
        "LeNet-5, stack of 8": (stacked, 8),
        "ResNet-20, channels first": alone(names["ResNet"](3), resident, channels_last=False),
        "ResNet-20, channels last": alone(names["ResNet"](3), resident),
    }
    if runtime.has_fast_bfloat16(device):
        model = names["ResNet"](3)
        found["ResNet-20, bfloat16"] = alone(model, resident, dtype=torch.bfloat16)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = runtime.select_device(arguments.device)
    runtime.set_threads(arguments.threads)
    runtime.set_seed(0)
    print(
        f"{runtime.device_name(device)}, {arguments.threads} threads, torch {torch.__version__}, "
        f"{arguments.rounds} rounds"
    )
    steps = versions(device)
    seconds = {name: [] for name in steps}
    for round_ in range(arguments.rounds + 1):
        for name, (make, networks) in steps.items():
            with runtime.Stopwatch(device) as watch:
                for _ in range(3):
                    make()
            if round_:  # the first round warms up
                seconds[name].append(watch.seconds / 3 / networks)
    for name, values in seconds.items():
        first = next(n for n in seconds if n.split(",")[0] == name.split(",")[0])
        ratio = median(values) / median(seconds[first])
        print(f"{name:28} {median(values) * IMAGES / BATCH:7.1f} s an epoch, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
