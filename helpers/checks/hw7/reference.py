"""What the checks of hw7 share: the reference network, weights, images, and small networks."""

import torch
from torch import Tensor, nn

from helpers.checks.errors import CheckError


def generator_from(seed: int) -> torch.Generator:
    """Return a generator of its own for `seed`, so that no other is drawn from."""
    return torch.Generator().manual_seed(seed)


class Reshape(nn.Module):
    """Turns rows `[batch, 784]` into images `[batch, 1, 28, 28]`."""

    def forward(self, X: Tensor) -> Tensor:
        return X.reshape(len(X), 1, 28, 28)


class ReferenceLeNet5(nn.Module):
    """LeNet-5 as the assignment has it; `network` is a `nn.Sequential`, `pooling` as in hw7."""

    def __init__(self, pooling: str):
        super().__init__()
        self.pooling = pooling
        # Two modules, so that a forward hook on one of them sees that one only.
        kinds = {"avg": [nn.AvgPool2d], "max": [nn.MaxPool2d], "no": []}[pooling]
        first, second = ([kind(2) for kind in kinds] for _ in range(2))
        self.network = nn.Sequential(
            *(Reshape(), nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), *first),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), *second, nn.Flatten()),
            *(nn.Linear(9216 if pooling == "no" else 400, 120), nn.ReLU()),
            *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )

    def forward(self, X: Tensor) -> Tensor:
        return self.network(X)


@torch.no_grad()
def randomize(parameters: list[Tensor], seed: int) -> None:
    """Draw weights that keep the size of what passes through, and biases that cannot be missed."""
    generator = generator_from(seed)
    for parameter in parameters:
        scale = 1.5 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 1.0
        parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def rows() -> Tensor:
    """Return four images `[4, 784]`: black, white, uniform noise, and noise of both signs."""
    generator = generator_from(1)
    noise = torch.rand(784, generator=generator), torch.randn(784, generator=generator)
    return torch.stack([torch.zeros(784), torch.ones(784), *noise])


class Witness(nn.Module):
    """Passes its input on, and notes how many rows came and whether gradients were tracked."""

    def __init__(self):
        super().__init__()
        self.rows: list[int] = []
        self.tracked_gradients = False

    def forward(self, X: Tensor) -> Tensor:
        self.rows.append(len(X))
        self.tracked_gradients |= torch.is_grad_enabled()
        return X


def small_networks() -> dict[str, nn.Module]:
    """Return three small networks that map `[batch, 784]` to ten logits, with large weights."""
    networks = {
        "a linear network": [nn.Linear(784, 10)],
        "two layers with ReLU": [nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10)],
        "a network with batch normalisation": [
            *(Reshape(), nn.Conv2d(1, 3, 5, stride=4), nn.ReLU(), nn.BatchNorm2d(3)),
            *(nn.Flatten(), nn.Linear(108, 10)),
        ],
    }
    made = {name: nn.Sequential(Witness(), *layers) for name, layers in networks.items()}
    for seed, network in enumerate(made.values()):
        randomize(list(network.parameters()), seed=10 + seed)
    return made


def bytes_and_labels(count: int) -> tuple[Tensor, Tensor]:
    """Return images, uint8 `[count, 784]`, mostly black as digits are, and labels `[count]`."""
    generator = generator_from(5)
    images = torch.randint(0, 256, (count, 784), generator=generator)
    ink = torch.rand(count, 784, generator=generator) < 0.2
    labels = torch.randint(0, 10, (count,), generator=generator)
    return (images * ink).to(torch.uint8), labels


def _unit(images: Tensor) -> Tensor:
    return images.double() / 255


def require_unchanged(
    what: str, images: Tensor, labels: Tensor, images_before: Tensor, labels_before: Tensor
) -> None:
    """Raise `CheckError` when the answer `what` has changed the data that it was given."""
    for name, now, before in (
        ("images", images, images_before),
        ("labels", labels, labels_before),
    ):
        if not torch.equal(now, before):
            raise CheckError(f"{what} changes the {name} that it is given", "work on a copy")
