"""The data sets: the real files read and checked, damaged ones refused, stand-ins as promised."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from loopback import Server, dead_url

from helpers import data, download, image_files, stand_ins
from helpers.parameters import ParameterError

REAL_FOLDER = os.environ.get("CNN_HOMEWORK_DATA", "")
needs_mnist = pytest.mark.skipif(
    not (Path(REAL_FOLDER) / "MNIST").is_dir() or not REAL_FOLDER, reason="no real MNIST at hand"
)
needs_cifar10 = pytest.mark.skipif(
    not (Path(REAL_FOLDER) / "cifar-10-batches-bin").is_dir() or not REAL_FOLDER,
    reason="no real CIFAR-10 at hand",
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """An empty cache and mirrors at which nothing listens; returns the mirrors' addresses."""
    from torchvision.datasets import MNIST

    dead = [dead_url() for _ in range(4)]
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CNN_HOMEWORK_DATA", raising=False)
    monkeypatch.setattr(MNIST, "mirrors", dead[:1])
    monkeypatch.setattr(data, "MNIST_LAST_MIRROR", dead[1])
    monkeypatch.setattr(data, "CIFAR10_MIRRORS", tuple(dead[2:]))
    return dead


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder that the user named."""
    folder = tmp_path / "named"
    folder.mkdir()
    monkeypatch.setenv("CNN_HOMEWORK_DATA", str(folder))
    return folder


def sha256(*parts):
    return "sha256:" + hashlib.sha256(b"".join(parts)).hexdigest()


# Small sets in the files' own formats ------------------------------------------------------------


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def small_mnist(monkeypatch):
    """Files of an MNIST with 30 and 20 images, taken for the real one; and its arrays."""
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.integers(0, 256, (n, 28, 28), np.uint8) if "images" in name else labels(rng, n)
        for name, n in zip(image_files.MNIST_FILES, (30, 30, 20, 20), strict=True)
    }
    monkeypatch.setattr(data, "MNIST_CHECKSUM", sha256(*(a.tobytes() for a in arrays.values())))
    return {name: idx(array) for name, array in arrays.items()}, list(arrays.values())


def labels(rng, n):
    return rng.permutation(np.arange(n, dtype=np.uint8) % 10)


def write_mnist(folder, files, ending=""):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (raw / f"{name}{ending}").write_bytes(gzip.compress(contents) if ending else contents)
    return raw


class _Python2Pickler(pickle._Pickler):
    """Writes batches as Python 2 did, which made the originals: strings are bytes."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)

    def save_global(self, value, name=None):
        module = "numpy" if value in (np.ndarray, np.dtype) else "numpy.core.multiarray"
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())

    dispatch[str] = dispatch[bytes] = save_string
    dispatch[type] = dispatch[type(pickle.dumps)] = dispatch[type(lambda: 0)] = save_global


def pickled(batch):
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(batch)
    return buffer.getvalue()


@pytest.fixture
def small_cifar10(monkeypatch):
    """The files of both versions of a CIFAR-10 with 5 × 20 and 10 images; and its arrays."""
    rng = np.random.default_rng(2)
    binary, python, images, classes = {}, {}, [], []
    for name in image_files.CIFAR10_BATCH_MD5:
        n = 10 if name == "test_batch" else 20
        pixels, numbers = rng.integers(0, 256, (n, 3072), np.uint8), labels(rng, n)
        binary[f"{name}.bin"] = np.concatenate([numbers[:, None], pixels], axis=1).tobytes()
        python[name] = pickled({"batch_label": name, "labels": numbers.tolist(), "data": pixels})
        digest = hashlib.md5(python[name]).hexdigest()
        monkeypatch.setitem(image_files.CIFAR10_BATCH_MD5, name, digest)
        images.append(pixels.reshape(n, 3, 32, 32))
        classes.append(numbers)
    train = np.concatenate(images[:5]), np.concatenate(classes[:5])
    arrays = [*train, images[5], classes[5]]
    monkeypatch.setattr(data, "CIFAR10_CHECKSUM", sha256(*(a.tobytes() for a in arrays)))
    return binary, python, arrays


def write_files(folder, files):
    folder.mkdir(exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)


LINK = b"a symbolic link"  # as a member's contents


def tar_gz(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            if contents is LINK:
                member.size, member.type, member.linkname = 0, tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(member, io.BytesIO(contents))
    return buffer.getvalue()


def cifar10_archive(python):
    return tar_gz({f"cifar-10-batches-py/{name}": contents for name, contents in python.items()})


def assert_holds(found, arrays):
    for part, expected in zip(
        (found.train_images, found.train_labels, found.test_images, found.test_labels),
        arrays,
        strict=True,
    ):
        assert part.flags.c_contiguous and part.flags.writeable
        assert part.dtype == (np.uint8 if part.ndim == 4 else np.int64)
        assert np.array_equal(part.reshape(expected.shape), expected)
    assert found.train_images.ndim == found.test_images.ndim == 4


# Reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("choice", ["auto", "mnist"])
def test_mnist_is_read_from_the_named_folder(folder, small_mnist, ending, choice):
    files, arrays = small_mnist
    write_mnist(folder, files, ending)
    found = data.mnist(choice)
    assert_holds(found, arrays)
    assert found.train_images.shape == (30, 1, 28, 28)
    assert (found.name, found.is_real, found.checksum) == ("MNIST", True, data.MNIST_CHECKSUM)
    assert found.class_names == tuple("0123456789")
    assert found.source == "Read from the folder named by CNN_HOMEWORK_DATA."


def test_mnist_reader_agrees_with_torchvision(folder, small_mnist):
    from torchvision.datasets import MNIST

    write_mnist(folder, small_mnist[0])
    found = data.mnist()
    for train, images, numbers in (
        (True, found.train_images, found.train_labels),
        (False, found.test_images, found.test_labels),
    ):
        theirs = MNIST(folder, train=train)
        assert np.array_equal(images[:, 0], theirs.data.numpy())
        assert np.array_equal(numbers, theirs.targets.numpy())


@pytest.mark.parametrize("kind", ["unpacked", "compressed", "stand-in"])
def test_torchvision_reads_what_was_found(folder, small_mnist, kind):
    from torchvision.datasets import MNIST

    write_mnist(folder, small_mnist[0], ".gz" if kind == "compressed" else "")
    found = data.mnist("stand-in" if kind == "stand-in" else "mnist")
    before = sorted(folder.rglob("*"))
    with data.torchvision_root(found) as root:
        train, test = MNIST(root, train=True), MNIST(root, train=False)
    assert np.array_equal(train.data.numpy(), found.train_images[:, 0])
    assert np.array_equal(train.targets.numpy(), found.train_labels)
    assert np.array_equal(test.data.numpy(), found.test_images[:, 0])
    assert np.array_equal(test.targets.numpy(), found.test_labels)
    assert (root == folder) == (kind == "unpacked")
    assert root.exists() == (kind == "unpacked") and sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("layout", ["binary", "python", "archive"])
def test_cifar10_is_the_same_from_every_layout(folder, small_cifar10, layout):
    binary, python, arrays = small_cifar10
    if layout == "binary":
        write_files(folder / "cifar-10-batches-bin", binary)
    elif layout == "python":
        write_files(folder / "cifar-10-batches-py", python)
    else:
        write_files(folder, {"cifar-10-python.tar.gz": cifar10_archive(python)})
    found = data.cifar10("cifar10")
    assert_holds(found, arrays)
    assert found.train_images.shape == (100, 3, 32, 32)
    assert (found.name, found.is_real, found.checksum) == ("CIFAR-10", True, data.CIFAR10_CHECKSUM)
    assert found.class_names[0] == "airplane" and found.class_names[9] == "truck"


def test_batch_checksums_are_torchvisions():
    from torchvision.datasets import CIFAR10

    assert dict(CIFAR10.train_list + CIFAR10.test_list) == image_files.CIFAR10_BATCH_MD5
    assert list(image_files.CIFAR10_BATCH_MD5) == [
        n for n, _ in CIFAR10.train_list + CIFAR10.test_list
    ]
    assert (CIFAR10.filename, CIFAR10.tgz_md5) == (image_files.CIFAR10_ARCHIVE, data.CIFAR10_MD5)


def test_mnist_sizes_are_for_torchvisions_files():
    from torchvision.datasets import MNIST

    assert [file for file, _ in MNIST.resources] == list(data.MNIST_SIZES)


@needs_mnist
def test_real_mnist(monkeypatch):
    monkeypatch.setenv("CNN_HOMEWORK_DATA", REAL_FOLDER)
    found = data.mnist("mnist")
    assert found.is_real and found.checksum == data.MNIST_CHECKSUM
    assert found.train_images.shape == (60000, 1, 28, 28)
    assert found.test_images.shape == (10000, 1, 28, 28)
    assert found.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert found.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(found.train_labels).tolist() == counts
    # The mean that everyone normalises with.
    assert round(found.train_images.mean() / 255, 4) == 0.1307


@needs_cifar10
def test_real_cifar10(monkeypatch):
    monkeypatch.setenv("CNN_HOMEWORK_DATA", REAL_FOLDER)
    found = data.cifar10("cifar10")
    assert found.is_real and found.checksum == data.CIFAR10_CHECKSUM
    assert found.train_images.shape == (50000, 3, 32, 32)
    assert found.test_images.shape == (10000, 3, 32, 32)
    assert np.bincount(found.train_labels).tolist() == [5000] * 10
    assert np.bincount(found.test_labels).tolist() == [1000] * 10
    # As published for the Python version: the two versions hold their images in the same order.
    firsts = found.train_labels.reshape(5, 10000)[:, :10].tolist()
    assert firsts[0] == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert firsts[4] == [1, 8, 5, 1, 5, 7, 4, 3, 8, 2]
    assert found.test_labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    means = found.train_images.reshape(50000, 3, -1).mean(axis=(0, 2), dtype=np.float64) / 255
    assert means.round(4).tolist() == [0.4914, 0.4822, 0.4465]


# Damage ------------------------------------------------------------------------------------------


def broken(contents, at, value):
    return contents[:at] + value + contents[at + len(value) :]


IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MNIST_DAMAGE = {
    "truncated": (IMAGES, lambda c: c[:-1], "holds 23535 bytes, its header announces 23536"),
    "too long": (IMAGES, lambda c: c + b"!", "holds 23537 bytes"),
    "empty": (IMAGES, lambda c: b"", "starts with ''"),
    "header only in part": (IMAGES, lambda c: c[:7], "starts with '00000803'"),
    "magic": (
        IMAGES,
        lambda c: broken(c, 2, b"\x0d"),
        "starts with '00000d03', expected '00000803'",
    ),
    "web page": (LABELS, lambda c: b"<!doctype html>", "starts with '3c21646f'"),
    "image size": (
        IMAGES,
        lambda c: idx(np.zeros((30, 27, 28), np.uint8)),
        "holds images of 27×28 pixels, expected 28×28",
    ),
    "label count": (LABELS, lambda c: idx(np.zeros(19, np.uint8)), "holds 19 labels for 20 images"),
    "label": (LABELS, lambda c: broken(c, 9, b"\x0a"), "holds the label 10, allowed are 0 to 9"),
    "huge": (IMAGES, lambda c: broken(c, 4, b"\xff" * 12), "holds 23536 bytes"),
}


@pytest.mark.parametrize("damage", MNIST_DAMAGE)
@pytest.mark.parametrize("choice", ["auto", "mnist"])
def test_damaged_mnist_in_the_named_folder_is_an_error(folder, small_mnist, damage, choice):
    name, change, words = MNIST_DAMAGE[damage]
    files = dict(small_mnist[0])
    files[name] = change(files[name])
    write_mnist(folder, files)
    with pytest.raises(data.DataError) as caught:
        data.mnist(choice)
    assert f"{name} {words}" in str(caught.value)
    assert str(folder) in str(caught.value) and "Replace what is damaged" in str(caught.value)


def test_changed_pixel_is_found(folder, small_mnist):
    files = dict(small_mnist[0])
    files[IMAGES] = broken(files[IMAGES], 100, bytes([files[IMAGES][100] ^ 1]))
    write_mnist(folder, files)
    with pytest.raises(data.DataError, match="their contents are not MNIST's"):
        data.mnist("mnist")


def test_missing_mnist_file_is_named(folder, small_mnist):
    (write_mnist(folder, small_mnist[0]) / LABELS).unlink()
    with pytest.raises(data.DataError, match=f"MNIST/raw lacks {LABELS}"):
        data.mnist()


@pytest.mark.parametrize(
    "contents",
    [b"not gzip at all", gzip.compress(bytes(999))[:-9]],
    ids=["other", "cut"],  # a compressed file holds the time at which it was made
)
def test_damaged_gz_is_named(folder, small_mnist, contents):
    raw = write_mnist(folder, small_mnist[0], ".gz")
    (raw / f"{IMAGES}.gz").write_bytes(contents)
    with pytest.raises(data.DataError, match=f"{IMAGES}.gz cannot be read"):
        data.mnist("mnist")


@pytest.mark.parametrize(
    "contents, words",
    [
        (bytes(3073 * 20 - 1), "data_batch_3.bin holds 61459 bytes"),
        (b"", "data_batch_3.bin holds 0 bytes"),
        (b"\xc8" + bytes(3072), "data_batch_3.bin holds the label 200, allowed are 0 to 9"),
        (bytes(3073 * 20), "their contents are not CIFAR-10's"),
        (None, "data_batch_3.bin cannot be read .No such file"),
    ],
)
@pytest.mark.parametrize("choice", ["auto", "cifar10"])
def test_damaged_binary_cifar10_is_an_error(folder, small_cifar10, contents, words, choice):
    write_files(folder / "cifar-10-batches-bin", small_cifar10[0])
    batch = folder / "cifar-10-batches-bin" / "data_batch_3.bin"
    batch.unlink() if contents is None else batch.write_bytes(contents)
    with pytest.raises(data.DataError, match=words):
        data.cifar10(choice)


class _Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def test_batch_is_not_unpickled_before_its_checksum_holds(folder, small_cifar10, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    monkeypatch.setattr(image_files, "_BatchUnpickler", refuse)
    # The first batch, so that none is unpickled before it.
    write_files(folder / "cifar-10-batches-py", dict(small_cifar10[1], data_batch_1=b"changed"))
    with pytest.raises(data.DataError, match="data_batch_1 has the MD5 checksum"):
        data.cifar10("cifar10")


def test_batch_can_run_no_code(folder, small_cifar10, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    attack = pickle.dumps(_Attack(), protocol=2)
    digest = hashlib.md5(attack).hexdigest()
    monkeypatch.setitem(image_files.CIFAR10_BATCH_MD5, "data_batch_2", digest)
    write_files(folder / "cifar-10-batches-py", dict(small_cifar10[1], data_batch_2=attack))
    with pytest.raises(data.DataError, match=r"asks for (posix|nt)\.mkdir"):
        data.cifar10("cifar10")
    assert not (tmp_path / "attacked").exists()


def test_damaged_archive_is_an_error(folder, small_cifar10):
    python = small_cifar10[1]
    whole = cifar10_archive(python)
    for contents, words in [
        (whole[: len(whole) // 2], "cifar-10-python.tar.gz cannot be read"),
        (b"<html>", "cifar-10-python.tar.gz cannot be read"),
        (
            cifar10_archive({n: c for n, c in python.items() if n != "test_batch"}),
            "cifar-10-python.tar.gz lacks test_batch",
        ),
        (cifar10_archive(python | {"data_batch_4": LINK}), "lacks data_batch_4"),
        # A path that leads out of the archive's folder is not a batch, and is written nowhere.
        (
            tar_gz({f"cifar-10-batches-py/../../{n}": c for n, c in python.items()}),
            "cifar-10-python.tar.gz lacks data_batch_1",
        ),
    ]:
        write_files(folder, {"cifar-10-python.tar.gz": contents})
        with pytest.raises(data.DataError, match=words):
            data.cifar10("auto")
    assert [path.name for path in folder.rglob("*")] == ["cifar-10-python.tar.gz"]


# The search --------------------------------------------------------------------------------------


def serve_mnist(server, files, monkeypatch):
    from torchvision.datasets import MNIST

    packed = {f"{name}.gz": gzip.compress(contents) for name, contents in files.items()}
    server.files.update(packed)
    sums = [(name, hashlib.md5(contents).hexdigest()) for name, contents in packed.items()]
    monkeypatch.setattr(MNIST, "resources", sums)
    monkeypatch.setattr(data, "MNIST_SIZES", {name: len(c) for name, c in packed.items()})
    monkeypatch.setattr(MNIST, "mirrors", [server.url("503"), server.url("good")])


def test_mnist_is_downloaded_once(server, small_mnist, monkeypatch):
    files, arrays = small_mnist
    serve_mnist(server, files, monkeypatch)
    first = data.mnist("mnist")
    assert_holds(first, arrays)
    assert first.source == "Downloaded to the user's cache folder."
    # The mirror that failed was asked for the first file alone.
    assert [path.split("/")[1] for path in server.requests] == ["503"] + ["good"] * 4
    second = data.mnist("auto")
    assert_holds(second, arrays)
    assert second.source == "Read from the user's cache folder."
    assert len(server.requests) == 5


@pytest.mark.parametrize("contents", [None, b"", b"<html>"])
def test_damaged_cache_is_downloaded_again(server, small_mnist, monkeypatch, tmp_path, contents):
    files, arrays = small_mnist
    serve_mnist(server, files, monkeypatch)
    data.mnist()
    cached = tmp_path / "cache" / "cnn-homework" / "MNIST" / "raw" / f"{IMAGES}.gz"
    cached.unlink() if contents is None else cached.write_bytes(contents)
    server.requests.clear()
    assert_holds(data.mnist("mnist"), arrays)
    assert server.requests == [f"/503/{IMAGES}.gz", f"/good/{IMAGES}.gz"]


def test_cifar10_is_downloaded_once(server, small_cifar10, monkeypatch):
    _, python, arrays = small_cifar10
    archive = cifar10_archive(python)
    server.files["archive"] = archive
    monkeypatch.setattr(data, "CIFAR10_MIRRORS", (dead_url(), server.url("good", "archive")))
    monkeypatch.setattr(data, "CIFAR10_SIZE", len(archive))
    monkeypatch.setattr(data, "CIFAR10_MD5", hashlib.md5(archive).hexdigest())
    assert_holds(data.cifar10("cifar10"), arrays)
    assert_holds(data.cifar10("auto"), arrays)
    assert len(server.requests) == 1


def test_named_folder_comes_before_the_cache(folder, small_mnist, tmp_path):
    files, arrays = small_mnist
    write_mnist(tmp_path / "cache" / "cnn-homework", files, ".gz")
    assert data.mnist("mnist").source == "Read from the user's cache folder."
    write_mnist(folder, files)
    assert data.mnist("mnist").source == "Read from the folder named by CNN_HOMEWORK_DATA."


@pytest.mark.parametrize("load, name", [(data.mnist, "mnist"), (data.cifar10, "cifar10")])
def test_a_named_folder_that_is_not_there_is_said_at_once(monkeypatch, tmp_path, load, name):
    def refuse(*_):
        raise AssertionError("went on to the network")

    monkeypatch.setattr(data, "download", refuse)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path))
    for named, folder, problem in [
        (str(tmp_path / "Dta"), tmp_path / "Dta", "does not exist"),
        ("~/Dta", tmp_path / "Dta", "does not exist"),
        ("~nobody-here/x", "~nobody-here/x", "does not exist"),
        (str(tmp_path / "file"), tmp_path / "file", "is a file"),
    ]:
        monkeypatch.setenv("CNN_HOMEWORK_DATA", named)
        for choice in ("auto", name):
            with pytest.raises(data.DataError) as caught:
                load(choice)
            assert str(caught.value) == (
                f"CNN_HOMEWORK_DATA = {named!r}: it must name a folder, and {folder} {problem}. "
                "Correct it, or unset it to use the cache folder and the network."
            )
    assert not load("stand-in").is_real  # which needs no files


@pytest.mark.parametrize("named", ["~/My Data/MNIST and CIFAR", "{home}/My Data/MNIST and CIFAR"])
def test_the_named_folder_may_start_at_home_and_keeps_its_capitals(
    monkeypatch, tmp_path, small_mnist, named
):
    home = tmp_path / "Home"
    write_mnist(home / "My Data" / "MNIST and CIFAR", small_mnist[0])
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CNN_HOMEWORK_DATA", named.format(home=home))
    assert data.mnist("mnist").source == "Read from the folder named by CNN_HOMEWORK_DATA."


@pytest.mark.parametrize(
    "load, name, mirrors", [(data.mnist, "mnist", (0, 1)), (data.cifar10, "cifar10", (2, 3))]
)
def test_naming_a_set_never_falls_back(folder, tmp_path, no_network, load, name, mirrors):
    with pytest.raises(data.DataError) as caught:
        load(name)
    message = str(caught.value)
    assert f"the folder named by CNN_HOMEWORK_DATA ({folder}): there is no " in message
    cache = tmp_path / "cache" / "cnn-homework"
    assert f"the user's cache folder ({cache}): there is no " in message
    for number in mirrors:
        assert no_network[number] in message
    assert message.count("refused") == 2
    assert "dataset to 'stand-in'" in message
    assert len(caught.value.tried) == 4


@pytest.mark.parametrize(
    "load, name", [(data.mnist, "stand-in digits"), (data.cifar10, "stand-in shapes")]
)
def test_auto_without_network_is_the_stand_in_with_reasons(folder, tmp_path, load, name):
    found = load("auto")
    assert (found.name, found.is_real) == (name, False)
    assert found.source.count("there is no") == 2
    assert found.source.count("refused") == 2
    assert str(tmp_path) not in found.source  # it is published


def test_auto_with_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = data.mnist("auto")
    assert not found.is_real and "saving train-images-idx3-ubyte.gz: " in found.source
    with pytest.raises(data.DataError, match="saving train-images-idx3-ubyte.gz: "):
        data.mnist("mnist")


@pytest.mark.parametrize("load, wrong", [(data.mnist, "mnits"), (data.cifar10, "mnist")])
def test_unknown_choice(load, wrong):
    with pytest.raises(ParameterError, match=f"dataset = '{wrong}'"):
        load(wrong)


def test_import_is_light():
    heavy = "{'torch', 'torchvision', 'sklearn', 'scipy', 'matplotlib'}"
    code = f"import sys, helpers.data; print(*{heavy} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.stdout.strip(), answer.returncode) == ("", 0), answer.stderr


def test_data_error_is_shared():
    assert data.DataError is download.DataError and issubclass(data.DataError, RuntimeError)


# The stand-ins -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "load, shape, sizes",
    [(data.mnist, (1, 28, 28), (1400, 340)), (data.cifar10, (3, 32, 32), (2000, 500))],
)
def test_stand_in(load, shape, sizes):
    found, again = load("stand-in"), load("stand-in")
    assert not found.is_real and found.checksum == again.checksum
    assert np.array_equal(found.train_images, again.train_images)
    assert found.checksum == sha256(
        found.train_images.tobytes(),
        found.train_labels.astype(np.uint8).tobytes(),
        found.test_images.tobytes(),
        found.test_labels.astype(np.uint8).tobytes(),
    )
    assert len(found.class_names) == 10
    for images, numbers, n in (
        (found.train_images, found.train_labels, sizes[0]),
        (found.test_images, found.test_labels, sizes[1]),
    ):
        assert images.shape == (n, *shape) and images.dtype == np.uint8
        assert images.flags.c_contiguous
        assert numbers.dtype == np.int64 and np.bincount(numbers).tolist() == [n // 10] * 10
        assert images.min() == 0 and images.max() == 255
        # The order mixes the classes: a prefix is a fair sample.
        assert np.bincount(numbers[:100], minlength=10).min() >= 3
    train = {image.tobytes() for image in found.train_images}
    assert len(train) == sizes[0]
    assert not train & {image.tobytes() for image in found.test_images}


def test_digits_are_centred_like_mnist():
    (images, _), _ = stand_ins.digits()
    weights = images[:, 0] / images[:, 0].sum(axis=(1, 2), keepdims=True)
    for axis in (1, 2):
        centres = weights.sum(axis=axis) @ np.arange(28)
        assert abs(centres - 13.5).max() < 0.6


def test_shapes_are_learnable_but_not_by_a_linear_classifier():
    import torch
    from torch import nn

    (images, numbers), (test_images, test_numbers) = stand_ins.shapes()
    torch.manual_seed(0)
    train, test = (torch.from_numpy(x).float() / 255 - 0.5 for x in (images, test_images))
    targets, test_targets = torch.from_numpy(numbers), torch.from_numpy(test_numbers)

    flat = train.flatten(1)
    ridge = torch.linalg.solve(flat @ flat.T + 100 * torch.eye(len(flat)), torch.eye(10)[targets])
    scores = test.flatten(1) @ (flat.T @ ridge)
    linear_accuracy = (scores.argmax(1) == test_targets).float().mean().item()

    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    for _ in range(6):
        for batch in torch.randperm(len(train)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(train[batch]), targets[batch]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        accuracy = (network(test).argmax(1) == test_targets).float().mean().item()
    assert linear_accuracy < 0.25
    assert accuracy > 0.4
