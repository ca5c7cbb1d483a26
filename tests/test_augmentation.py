"""Normalisation, padding, random crops and flips, against their definitions."""

import pytest
import torch
from torchvision.transforms import v2

from helpers.augmentation import Normalize, RandomCropFlip, pad


def images(count: int = 6, channels: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_normalisation_is_that_of_torchvision_with_exact_statistics():
    batch = images(50)
    normalize = Normalize.fit(batch)
    scaled = batch.double() / 255
    mean, std = scaled.mean((0, 2, 3)), scaled.std((0, 2, 3), correction=0)
    torch.testing.assert_close(normalize.mean.flatten(), mean.float())
    torch.testing.assert_close(normalize.std.flatten(), std.float())
    expected = v2.Normalize(mean.tolist(), std.tolist())(scaled.float())
    torch.testing.assert_close(normalize(batch), expected)


def test_a_constant_channel_has_no_normalisation():
    batch = images()
    batch[:, 1] = 7
    with pytest.raises(ValueError, match=r"channels \[1\] are constant"):
        Normalize.fit(batch)


def test_padding_is_black_and_channels_are_last_in_memory():
    padded = pad(images(), 2)
    assert padded.shape == (6, 3, 12, 12)
    assert torch.equal(padded[:, :, 2:-2, 2:-2], images())
    assert padded.sum() == images().sum()
    assert padded.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("height, width", [(12, 12), (9, 12), (8, 8)])
@pytest.mark.parametrize("flip", [False, True])
def test_each_crop_is_a_window_of_its_own_image(height, width, flip):
    batch = images(height=height, width=width)
    seen = set()
    for seed in range(40):
        crops = RandomCropFlip(8, flip)(batch, generator(seed))
        assert crops.shape == (6, 3, 8, 8) and crops.dtype == torch.uint8
        assert crops.is_contiguous(memory_format=torch.channels_last)
        for image, crop in zip(batch, crops, strict=True):
            places = [
                (row, column, mirrored)
                for row in range(height - 7)
                for column in range(width - 7)
                for mirrored in (False, True)
                if torch.equal(
                    image[:, row : row + 8, column : column + 8].flip([2] if mirrored else []), crop
                )
            ]
            assert len(places) == 1
            seen.update(places)
    assert {mirrored for _, _, mirrored in seen} == ({False, True} if flip else {False})
    assert {row for row, _, _ in seen} == set(range(height - 7))
    assert {column for _, column, _ in seen} == set(range(width - 7))


def test_places_and_sides_are_equally_likely():
    ramp = torch.arange(5, dtype=torch.uint8).expand(20_000, 1, 5, 5)
    crops = RandomCropFlip(3)(ramp, generator())
    first, last = crops[:, 0, 0, 0], crops[:, 0, 0, 2]
    for value in range(3):
        place = torch.minimum(first, last) == value
        assert 0.31 < place.float().mean() < 0.36
    assert 0.48 < (first > last).float().mean() < 0.52


def test_row_column_and_side_are_drawn_apart():
    """Each of the 3 · 3 · 2 combinations is equally likely, as it is not if two share a number."""
    numbered = torch.arange(25, dtype=torch.uint8).view(1, 1, 5, 5).expand(36_000, -1, -1, -1)
    crops = RandomCropFlip(3)(numbered, generator())
    corners = torch.minimum(crops[:, 0, 0, 0], crops[:, 0, 0, 2])
    mirrored = crops[:, 0, 0, 0] > crops[:, 0, 0, 2]
    counts = torch.bincount(corners.long() + 25 * mirrored.long(), minlength=50)
    counts = counts.view(2, 5, 5)[:, :3, :3]
    assert counts.sum() == 36_000
    assert counts.min() > 1_800 and counts.max() < 2_200


def test_the_generator_alone_decides():
    crop = RandomCropFlip(8)
    batch = pad(images(), 4)
    assert torch.equal(crop(batch, generator(3)), crop(batch, generator(3)))
    assert not torch.equal(crop(batch, generator(3)), crop(batch, generator(4)))


def test_a_window_larger_than_the_image_is_named():
    with pytest.raises(ValueError, match="9 pixels does not fit into images of 8 × 8"):
        RandomCropFlip(9)(images(), generator())
