"""Normalisation, random crops and flips of whole batches, on the device that holds them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalize:
    """Map uint8 images `[batch, channels, height, width]` to float32 of zero mean, unit variance.

    `mean` and `std`, each of shape `[channels, 1, 1]`, are those of pixels scaled to 0…1.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, images: Tensor) -> "Normalize":
        """Return the normalisation that gives each channel of `images` mean 0 and variance 1.

        Raises `ValueError` for a channel whose pixels all have one value.
        """
        channels = images.shape[1]
        # Counting the 256 values is exact, and needs no copy of the images as floats.
        counts = torch.stack(
            [images[:, c].flatten().bincount(minlength=256) for c in range(channels)]
        )
        share = counts.double() / counts.sum(1, keepdim=True)
        values = torch.arange(256, dtype=torch.float64, device=images.device) / 255
        mean = share @ values
        std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt()
        if not (std > 0).all():
            flat = torch.nonzero(std == 0).flatten().tolist()
            raise ValueError(f"channels {flat} are constant, so no scale gives them unit variance")
        return cls(mean.float().view(-1, 1, 1), std.float().view(-1, 1, 1))

    def __call__(self, images: Tensor) -> Tensor:
        scale = 1 / (255 * self.std)
        return images.float().mul_(scale).sub_(self.mean / self.std)


def pad(images: Tensor, padding: int) -> Tensor:
    """Return uint8 images with `padding` black pixels on each side, channels last in memory.

    `[n, channels, height, width]` becomes `[n, channels, height + 2·padding, width + 2·padding]`.
    """
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    return padded.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class RandomCropFlip:
    """Cut a random `size` × `size` window out of each image; with `flip`, mirror half of them.

    Maps `[batch, channels, height, width]` to `[batch, channels, size, size]`, both channels last.
    A random crop "with padding p" is this on images that went through `pad(images, p)` once. Each
    place of the window is equally likely. Source: Krizhevsky, Sutskever, Hinton, ImageNet
    classification with deep convolutional neural networks, 2012, section 4.1.
    """

    size: int
    flip: bool = True

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        batch, _, height, width = images.shape
        if min(height, width) < self.size:
            raise ValueError(
                f"a window of {self.size} pixels does not fit into images of {height} × {width}"
            )
        device = images.device

        def draw(choices: int) -> Tensor:
            return torch.randint(choices, (batch, 1), device=device, generator=generator)

        steps = torch.arange(self.size, device=device)
        rows = draw(height - self.size + 1) + steps
        columns = draw(width - self.size + 1) + steps
        if self.flip:
            columns = torch.where(draw(2).bool(), columns.flip(1), columns)
        image = torch.arange(batch, device=device)
        # Indices on both sides of the slice put the channels last, as convolutions like them.
        windows = images[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return windows.permute(0, 3, 1, 2)
