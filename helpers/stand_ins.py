"""Small data sets that stand in for MNIST and CIFAR-10 where the real ones cannot be had."""

import numpy as np

SHAPES = ("disc", "square", "triangle", "ring", "cross")
TEXTURES = ("striped", "chequered")
SHAPE_CLASSES = tuple(f"{texture} {shape}" for texture in TEXTURES for shape in SHAPES)

Part = tuple[np.ndarray, np.ndarray]  # uint8 images [n, channels, height, width], int64 labels [n]


def digits(train_per_class: int = 140, test_per_class: int = 34) -> tuple[Part, Part]:
    """Return scikit-learn's digits in MNIST's form, uint8 `[n, 1, 28, 28]`, for training and test.

    As in MNIST, the digit fills 20×20 pixels and its centre of mass is in the middle. Each class
    has the same number of images. The test images come last in scikit-learn's order, and so from
    other writers than most of the training images. Source: Alpaydin, Kaynak, Optical recognition
    of handwritten digits, UCI Machine Learning Repository (1998).
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    small, labels = load_digits(return_X_y=True)
    # Enlarging by cubic splines is linear and separable: one [20, 8] matrix for rows and columns.
    enlarge = zoom(np.eye(8), (2.5, 1), order=3, mode="grid-constant", grid_mode=True)
    large = enlarge @ (small.reshape(-1, 8, 8) / 16) @ enlarge.T
    images = np.pad(np.clip(large, 0, 1), ((0, 0), (4, 4), (4, 4)))
    for image in images:
        weights = image / image.sum()
        centre = [weights.sum(1 - axis) @ np.arange(28) for axis in (0, 1)]
        shift = np.clip(np.rint(13.5 - np.array(centre)), -4, 4).astype(int)  # 4: the margin
        image[:] = np.roll(image, shift, axis=(0, 1))
    images = np.rint(255 * images).astype(np.uint8)[:, np.newaxis]

    by_class = [np.flatnonzero(labels == label) for label in range(10)]
    train = np.sort(np.concatenate([rows[:train_per_class] for rows in by_class]))
    test = np.sort(np.concatenate([rows[-test_per_class:] for rows in by_class]))
    labels = labels.astype(np.int64)
    return (images[train], labels[train]), (images[test], labels[test])


def shapes(
    train_per_class: int = 200, test_per_class: int = 50, seed: int = 10
) -> tuple[Part, Part]:
    """Return generated images in CIFAR-10's form, uint8 `[n, 3, 32, 32]`, for training and test.

    The classes are `SHAPE_CLASSES`, each as frequent as the others. Place, size, turn, colours,
    texture and background are random: no single pixel tells the class, edges and textures do.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for per_class in (train_per_class, test_per_class):
        labels = rng.permutation(np.repeat(np.arange(10), per_class))
        parts.append((_draw(labels, rng), labels))
    return tuple(parts)


def _draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (len(labels), *shape)).astype(np.float32)

    row, column = np.mgrid[0:32, 0:32].astype(np.float32)
    down, right = row - uniform(12, 19, 1, 1), column - uniform(12, 19, 1, 1)
    radius = uniform(8, 12, 1, 1)
    x, y = _turned(right, down, uniform(-0.4, 0.4, 1, 1))
    from_centre, longer, shorter = np.sqrt(x * x + y * y), abs(x), abs(y)
    longer, shorter = np.maximum(longer, shorter), np.minimum(longer, shorter)
    # Distance to the outline, negative inside, in the order of SHAPES.
    outlines = (
        from_centre - radius,
        longer - 0.85 * radius,
        np.maximum(y, 0.866 * abs(x) - 0.5 * y) - 0.5 * radius,
        abs(from_centre - 0.75 * radius) - 0.25 * radius,
        np.maximum(shorter - 0.3 * radius, longer - radius),
    )
    shape, texture = labels[:, None, None] % len(SHAPES), labels[:, None, None] // len(SHAPES)
    inside = np.clip(0.5 - np.choose(shape, outlines), 0, 1)

    along, across = _turned(right, down, uniform(0, np.pi, 1, 1))
    frequency = 2 * np.pi / uniform(4, 6.5, 1, 1)
    stripes = np.sin(frequency * along + uniform(0, 2 * np.pi, 1, 1))
    chequers = stripes * np.sin(frequency * across + uniform(0, 2 * np.pi, 1, 1))
    pattern = np.clip(0.5 + np.choose(texture, (stripes, 1.5 * chequers)), 0, 1)

    first = uniform(0, 1, 3, 1, 1)
    second = (first + uniform(0.3, 0.7, 3, 1, 1)) % 1  # differs in every colour channel
    slope = (
        uniform(-0.01, 0.01, 3, 1, 1) * right[:, None]
        + uniform(-0.01, 0.01, 3, 1, 1) * down[:, None]
    )
    background = uniform(0, 1, 3, 1, 1) + slope
    surface = first + (second - first) * pattern[:, None]
    images = background + (surface - background) * inside[:, None]
    images += 0.06 * rng.standard_normal(images.shape, dtype=np.float32)
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def _turned(x: np.ndarray, y: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
