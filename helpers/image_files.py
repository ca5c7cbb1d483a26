"""Readers of the files of MNIST and CIFAR-10, which say what is wrong with a file that is damaged.

MNIST's reader is not torchvision's, since that one reads no compressed file and answers a damaged
one with a bare assertion; a test holds the two equal.
"""

import gzip
import hashlib
import io
import math
import pickle
import tarfile
import zlib
from pathlib import Path

import numpy as np

MNIST_FOLDER = "MNIST/raw"  # torchvision's layout
MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_BINARY = "cifar-10-batches-bin"
CIFAR10_PYTHON = "cifar-10-batches-py"
CIFAR10_ARCHIVE = "cifar-10-python.tar.gz"
LARGEST_FILE = 2**26  # unpacked; none of either set is larger, and more would only fill the memory
CIFAR10_BATCH_MD5 = {  # of the Python version's files, in the order of the training set
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}

# One part of a data set: uint8 images [n, channels, height, width] and int64 labels [n].
Part = tuple[np.ndarray, np.ndarray]
# One file of CIFAR-10: uint8 [n, 3072], labels [n], and the file's name.
Batch = tuple[np.ndarray, np.ndarray, str]


class Absent(Exception):
    """A folder does not hold the data set; the message says what was looked for."""


class Damaged(Exception):
    """A file is not what it should be; the message names it and says what is wrong."""


def read_mnist(folder: Path, endings: tuple[str, ...] = ("", ".gz")) -> tuple[Part, Part]:
    """Read MNIST/raw; each file may be there with any of `endings`."""
    raw = folder / MNIST_FOLDER
    paths = {
        name: next((p for end in endings if (p := raw / f"{name}{end}").is_file()), None)
        for name in MNIST_FILES
    }
    missing = [name for name, path in paths.items() if path is None]
    if len(missing) == len(paths):
        raise Absent(f"there is no {MNIST_FOLDER}/{missing[0]}{endings[-1]}")
    if missing:
        raise Damaged(f"{MNIST_FOLDER} lacks {', '.join(missing)}")

    def part(prefix: str) -> Part:
        images_path, labels_path = (path for name, path in paths.items() if name.startswith(prefix))
        images = _decode_idx(images_path, 3)
        if images.shape[1:] != (28, 28):
            shape = "×".join(map(str, images.shape[1:]))
            raise Damaged(f"{images_path.name} holds images of {shape} pixels, expected 28×28")
        labels = _checked_labels(_decode_idx(labels_path, 1), images, labels_path.name)
        return images[:, np.newaxis], labels

    return part("train"), part("t10k")


def read_compressed_mnist(folder: Path) -> tuple[Part, Part]:
    """Read MNIST/raw as its mirrors serve it, each file compressed."""
    return read_mnist(folder, endings=(".gz",))


def holds_unpacked_mnist(folder: Path) -> bool:
    """Tell whether torchvision, which reads no compressed file, finds all of MNIST in `folder`."""
    return all((folder / MNIST_FOLDER / name).is_file() for name in MNIST_FILES)


def write_mnist(folder: Path, train: Part, test: Part) -> None:
    """Write images and labels into `folder` as MNIST/raw, the files that `read_mnist` reads."""
    raw = folder / MNIST_FOLDER
    raw.mkdir(parents=True)
    arrays = (train[0][:, 0], train[1], test[0][:, 0], test[1])
    for name, array in zip(MNIST_FILES, arrays, strict=True):
        sizes = np.array(array.shape, ">u4").tobytes()
        values = array.astype(np.uint8).tobytes()
        (raw / name).write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + values)


def _decode_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file: 0, 0, 8, dimensions; big-endian sizes; values."""
    contents = _contents(path)
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if len(contents) < header or contents[:4] != magic:
        raise Damaged(
            f"{path.name} starts with {contents[:4].hex()!r}, expected {magic.hex()!r} and "
            f"{dimensions} sizes"
        )
    shape = np.frombuffer(contents[4:header], ">u4").tolist()
    if len(contents) != header + math.prod(shape):
        raise Damaged(
            f"{path.name} holds {len(contents)} bytes, its header announces "
            f"{header + math.prod(shape)}"
        )
    # A copy, since an array on top of `bytes` is read-only and torch warns of that.
    return np.frombuffer(contents, np.uint8, offset=header).reshape(shape).copy()


def read_cifar10(folder: Path) -> tuple[Part, Part]:
    """Read the first of the three layouts that is there."""
    for read in (_read_cifar10_binary, _read_cifar10_python, read_cifar10_archive):
        try:
            return read(folder)
        except Absent:
            continue
    raise Absent(f"there is no {CIFAR10_BINARY}, {CIFAR10_PYTHON} or {CIFAR10_ARCHIVE}")


def _read_cifar10_binary(folder: Path) -> tuple[Part, Part]:
    """Read the binary version: 3073 bytes an image, the label and the three colour planes."""
    if not (folder / CIFAR10_BINARY).is_dir():
        raise Absent(f"there is no {CIFAR10_BINARY}")
    batches = {}
    for name in CIFAR10_BATCH_MD5:
        contents = _contents(folder / CIFAR10_BINARY / f"{name}.bin")
        if not contents or len(contents) % 3073:
            raise Damaged(f"{name}.bin holds {len(contents)} bytes, expected 3073 for each image")
        records = np.frombuffer(contents, np.uint8).reshape(-1, 3073)
        batches[name] = records[:, 1:], records[:, 0], f"{name}.bin"
    return _joined(batches)


def _read_cifar10_python(folder: Path) -> tuple[Part, Part]:
    """Read the Python version, unpacked."""
    if not (folder / CIFAR10_PYTHON).is_dir():
        raise Absent(f"there is no {CIFAR10_PYTHON}")
    return _joined(
        {
            name: _unpickled(name, _contents(folder / CIFAR10_PYTHON / name))
            for name in CIFAR10_BATCH_MD5
        }
    )


def read_cifar10_archive(folder: Path) -> tuple[Part, Part]:
    """Read the Python version from its archive; nothing is unpacked to the disk."""
    path = folder / CIFAR10_ARCHIVE
    if not path.is_file():
        raise Absent(f"there is no {CIFAR10_ARCHIVE}")
    batches = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                parent, _, name = member.name.rpartition("/")
                wanted = parent == CIFAR10_PYTHON and name in CIFAR10_BATCH_MD5
                if wanted and member.isfile():
                    _require_size(member.size, name)
                    batches[name] = _unpickled(name, archive.extractfile(member).read())
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise Damaged(f"{CIFAR10_ARCHIVE} cannot be read ({error})") from error
    if missing := [name for name in CIFAR10_BATCH_MD5 if name not in batches]:
        raise Damaged(f"{CIFAR10_ARCHIVE} lacks {', '.join(missing)}")
    return _joined(batches)


def _joined(batches: dict[str, Batch]) -> tuple[Part, Part]:
    """Return the training part, batches 1 to 5 in their order, and the test part."""
    parts = []
    for name in CIFAR10_BATCH_MD5:
        images, labels, file = batches[name]
        labels = _checked_labels(labels, images, file)
        parts.append((images.reshape(-1, 3, 32, 32), labels))
    *train, test = parts
    images, labels = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    return (images, labels), (np.ascontiguousarray(test[0]), test[1])


def _unpickled(name: str, contents: bytes) -> Batch:
    digest = hashlib.md5(contents, usedforsecurity=False).hexdigest()
    if digest != CIFAR10_BATCH_MD5[name]:
        raise Damaged(f"{name} has the MD5 checksum {digest}, expected {CIFAR10_BATCH_MD5[name]}")
    batch = _BatchUnpickler(io.BytesIO(contents), encoding="bytes").load()
    return batch[b"data"], np.array(batch[b"labels"]), name


class _BatchUnpickler(pickle.Unpickler):
    """Makes NumPy arrays and nothing else, so that no file can run code."""

    ALLOWED = {
        # NumPy has moved this function; an array tells where it is now.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str):
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise Damaged(f"a batch asks for {module}.{name}, which no batch needs") from None


def _contents(path: Path) -> bytes:
    """Return what the file holds, uncompressed if it ends in .gz."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            contents = file.read(LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise Damaged(f"{path.name} cannot be read ({why})") from error
    _require_size(len(contents), path.name)
    return contents


def _require_size(size: int, file: str) -> None:
    if size > LARGEST_FILE:
        raise Damaged(f"{file} holds more than {LARGEST_FILE:,} bytes")


def _checked_labels(labels: np.ndarray, images: np.ndarray, file: str) -> np.ndarray:
    if len(labels) != len(images):
        raise Damaged(f"{file} holds {len(labels)} labels for {len(images)} images")
    if len(labels) and not 0 <= labels.min() <= labels.max() <= 9:
        wrong = labels[(labels < 0) | (labels > 9)][0]
        raise Damaged(f"{file} holds the label {wrong}, allowed are 0 to 9")
    return labels.astype(np.int64)
