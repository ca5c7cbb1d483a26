"""The checks of `channel_statistics`, `ImagesWithLabels`, `to_normalized` and `loaders`."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from helpers.checks.answers import Causes
from helpers.checks.cifar10_resnet import reference
from helpers.checks.cifar10_resnet.judging import call, kept, pair
from helpers.checks.diagnosis import Mistake, as_array, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check

channel_statistics = Check("channel_statistics", "mean and deviation of each channel agree")
ImagesWithLabels = Check("ImagesWithLabels", "length, images and labels are right")
to_normalized = Check("to_normalized", "the images are the reference's, in float32")
loaders = Check("loaders", "batches, their order and their sizes are right")

BYTES: Causes = (
    (
        r"not a floating type|can only be computed|could not infer output dtype|Got: Byte|"
        r"Input tensor should be a float|uint8",
        "the images are bytes (uint8): images.float() / 255 comes first",
    ),
)


def _bytes(*shape: int, seed: int = 0) -> Tensor:
    """Return random images, uint8, the channels of which differ in brightness and contrast."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator)
    scale = torch.tensor([0.9, 0.35, 0.6])[:, None, None]
    level = torch.tensor([0.1, 0.6, 0.2])[:, None, None]
    brightness = 0.5 + 0.5 * torch.rand(shape[:-3] + (1, 1, 1), generator=generator)
    return (255 * brightness * (level + scale * drawn)).clamp(0, 255).to(torch.uint8)


# --- the statistics of the channels

MEAN, STD = 0, 1


def _wrong_statistics(images: Tensor) -> Iterator[tuple[str, tuple[object, object]]]:
    X = images.double() / 255
    mean, std = reference.channel_statistics(images)
    each_mean, each_std = X.mean((2, 3)), X.std((2, 3), correction=0)
    yield "mean and standard deviation are returned in the wrong order", (std, mean)
    yield "the pixels are not divided by 255", (255 * mean, 255 * std)
    for correction in (0, 1):
        spread = X.std((0, 2, 3), correction=correction)
        yield "the pixels are not divided by 255", (None, 255 * spread)
        yield "the pixels are divided by 256, not by 255", (255 / 256 * mean, 255 / 256 * spread)
    yield "the pixels are divided by 255 twice", (mean / 255, std / 255)
    cut = (images // 255).double()
    yield "the pixels are divided by 255 as whole numbers (//)", (
        cut.mean((0, 2, 3)), cut.std((0, 2, 3)),
    )  # fmt: skip
    for correction in (0, 1):
        yield "this is the variance: the standard deviation is its root", (
            None, X.var((0, 2, 3), correction=correction),
        )  # fmt: skip
        yield "the deviation is that of the images' means: the pixels spread more", (
            None, each_mean.std(0, correction=correction),
        )  # fmt: skip
        yield "the deviations of the images are averaged: that leaves out how their means differ", (
            None, X.std((2, 3), correction=correction).mean(0),
        )  # fmt: skip
        yield "one number is computed for all channels; each has its own", (
            X.mean(), X.std(correction=correction),
        )  # fmt: skip
        yield "one number is computed for all channels; each has its own", (
            X.mean().expand(3), X.std(correction=correction).expand(3),
        )  # fmt: skip
        for words, part in {"first": X[:1], "last": X[-1:]}.items():
            yield f"only the {words} image is used", (
                part.mean((0, 2, 3)), part.std((0, 2, 3), correction=correction),
            )  # fmt: skip
        for words, axes in {
            "the mean runs over the images alone: dim=(0, 2, 3) is over images, rows and columns": (
                (0,)
            ),
            "the mean runs over rows and columns alone, not over the images": (2, 3),
            "the mean runs over the channels: dim=(0, 2, 3) leaves these": (0, 1, 2),
            "the mean runs over the channels and not over the images": (1, 2, 3),
            "the columns are left out: dim=(0, 2, 3)": (0, 2),
            "the rows are left out: dim=(0, 2, 3)": (0, 3),
            "the channels stand second, as in [n, 3, height, width]": (0, 1),
            "the mean runs over the channels alone": (1,),
        }.items():
            yield words, (X.mean(axes), X.std(axes, correction=correction))
    about_zero = X.square().mean((0, 2, 3)).sqrt()
    yield "the mean is not subtracted before squaring", (None, about_zero)
    yield "the deviation is the mean absolute one", (
        None, (X - mean[:, None, None]).abs().mean((0, 2, 3)),
    )  # fmt: skip
    yield "the median is taken, not the mean", (X.transpose(0, 1).flatten(1).median(1).values, None)
    yield "the deviations of the images are averaged", (None, each_std.mean(0))
    yield "the reciprocal of the deviation is returned", (None, 1 / std)


def _expect_statistics(
    answer: Callable, images: Tensor, *which: int, tolerance: float = 1e-5
) -> None:
    given = f"images {list(images.shape)}, uint8"
    copy = images.clone()
    result = call("channel_statistics", answer, lambda: answer(copy), causes=BYTES)
    kept("channel_statistics", "images", copy, images)
    values = pair("channel_statistics", result, ("mean", "std"))
    right = reference.channel_statistics(images)
    # Divided by n - 1, the deviation is as right.
    unbiased = as_array("", (images.double() / 255).std((0, 2, 3), correction=1))
    for i in which:
        what = ("channel_statistics, mean", "channel_statistics, standard deviation")[i]
        got = as_array(what, values[i])
        wanted = unbiased if i == STD and same(got, unbiased, tolerance) else right[i]
        wrong = ((words, results[i]) for words, results in _wrong_statistics(images)
                 if results[i] is not None)  # fmt: skip
        expect(what, given, got, wanted, wrong, tolerance=tolerance)
        if not isinstance(values[i], Tensor) or not values[i].is_floating_point():
            raise CheckError(
                f"{what}: should be a tensor of floats, not {type(values[i]).__name__}",
                "torch.tensor(…) or the tensor's own .mean(…) and .std(…)",
            )


_SETS = ((5, 3, 6, 4), (3, 3, 8, 8), (40, 3, 3, 7))


@channel_statistics.part("the mean of each channel")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_SETS):
        _expect_statistics(answer, _bytes(*shape, seed=seed), MEAN)


@channel_statistics.part("the standard deviation of each channel")
def _(answer: Callable) -> None:
    for seed, shape in enumerate(_SETS):
        _expect_statistics(answer, _bytes(*shape, seed=seed), STD)


@channel_statistics.part("one image, and images that are almost white")
def _(answer: Callable) -> None:
    _expect_statistics(answer, _bytes(1, 3, 5, 7, seed=3), MEAN, STD)
    # Bytes that are added up as bytes overflow. Mean squares in float32 lose some digits, which is
    # no mistake.
    white = 255 - _bytes(300, 3, 9, 9, seed=4) // 3
    _expect_statistics(answer, white, MEAN, STD, tolerance=5e-4)


# --- the data set


class _Noted:
    """A transform that notes what it is given; each call gives something new."""

    def __init__(self):
        self.given: list[object] = []

    def __call__(self, image: object) -> object:
        self.given.append(image)
        if not isinstance(image, Tensor):
            raise CheckError(
                f"ImagesWithLabels gives the transform a {type(image).__name__}, not a tensor",
                "torch.from_numpy(self.images[i]) makes a tensor of an array",
            )
        return image.float() + 1000 * len(self.given)


_COUNT = 7


def _data_set(answer: type, transform: Callable) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Return the answer's data set, and the images and labels that it was made of."""
    if not isinstance(answer, type):
        raise CheckError("ImagesWithLabels should be a class", "class ImagesWithLabels(Dataset):")
    images = _bytes(_COUNT, 3, 32, 32).numpy()
    labels = np.array([3, 0, 9, 9, 1, 7, 2])
    made = call("ImagesWithLabels", answer, lambda: answer(images, labels, transform))
    return made, images, labels


def _item(answer: type, data_set: Dataset, i: int) -> tuple[object, object]:
    what = f"ImagesWithLabels: item {i}"
    image, label = pair(what, call(what, answer, lambda: data_set[i]), ("image", "label"))
    if np.ndim(label) == 3:
        raise CheckError(f"{what} has an image in the second place", "the label comes last")
    return image, label


@ImagesWithLabels.part("its length, and that it is a Dataset")
def _(answer: type) -> None:
    data_set, images, _ = _data_set(answer, _Noted())
    if not isinstance(data_set, Dataset):
        raise CheckError("ImagesWithLabels is no Dataset", "class ImagesWithLabels(Dataset):")
    length = call("ImagesWithLabels: len", answer, lambda: len(data_set))
    expect("ImagesWithLabels, len", f"images {list(images.shape)}", length, _COUNT, (
        ("this is the number of channels: the images stand first", 3),
        ("this is the side of an image", 32),
        ("this is the number of all pixels", images.size),
        ("this is the number of classes", 10),
        ("one image is left out", _COUNT - 1),
    ), tolerance=0)  # fmt: skip


@ImagesWithLabels.part("the images, transformed")
def _(answer: type) -> None:
    noted = _Noted()
    data_set, images, _ = _data_set(answer, noted)
    if noted.given:
        raise CheckError(
            f"ImagesWithLabels calls the transform {len(noted.given)} times before any item is "
            "asked for",
            "a random transform has to be drawn anew at each access: call it in __getitem__",
        )
    for i in (4, 0, 4, _COUNT - 1):
        before = len(noted.given)
        image, _ = _item(answer, data_set, i)
        original = torch.from_numpy(images[i])
        if len(noted.given) == before:
            expect_image = as_array("ImagesWithLabels, image", image)
            same_ = expect_image.shape == images[i].shape and (expect_image == images[i]).all()
            raise CheckError(
                f"ImagesWithLabels: item {i} is made without the transform",
                "self.transform(image) is missing" if same_ else
                "the transform has to be called at each access, since it may be random",
            )  # fmt: skip
        if len(noted.given) > before + 1:
            raise CheckError(f"ImagesWithLabels calls the transform twice for item {i}")
        given = noted.given[-1]
        _expect_given(i, given, original, images)
        right = given.float() + 1000 * len(noted.given)
        expect(f"ImagesWithLabels, image {i}", "a transform that adds a number", image, right, [
            ("the image is returned as it was, not what the transform makes of it", original),
            ("the transformed image is divided by 255", right / 255),
            ("the transformed image is turned into bytes", right.to(torch.uint8)),
        ], tolerance=0)  # fmt: skip


def _expect_given(i: int, given: Tensor, original: Tensor, images: np.ndarray) -> None:
    """Compare what the transform was given with the image, uint8 `[3, 32, 32]`."""
    others = ((f"this is image {k}, not image {i}", images[k]) for k in range(len(images)))
    X = original.double()
    expect(f"ImagesWithLabels, what the transform is given for item {i}", "uint8 [3, 32, 32]",
           given, original, [
               ("the axes are moved to [height, width, channels]: a tensor keeps [3, 32, 32]",
                X.permute(1, 2, 0)),
               ("rows and columns are swapped", X.mT),
               ("the axes are moved: the images are [3, 32, 32] already", X.permute(2, 0, 1)),
               ("the image is divided by 255 before the transform, which does that", X / 255),
               ("an axis for a batch is added: the loader does that", X[None]),
               ("all images are given at once", images),
               ("the channels are in another order", X.flip(0)),
               *others,
           ], tolerance=1e-6)  # fmt: skip
    if given.dtype != torch.uint8:
        raise CheckError(
            f"ImagesWithLabels gives the transform {given.dtype}, and should give uint8",
            "ToDtype(torch.float32, scale=True) divides bytes by 255, and floats by nothing",
        )


@ImagesWithLabels.part("the labels, whole numbers")
def _(answer: type) -> None:
    data_set, _, labels = _data_set(answer, lambda image: image)
    found = [_item(answer, data_set, i)[1] for i in range(_COUNT)]
    for i, (got, right) in enumerate(zip(found, labels, strict=True)):
        expect(f"ImagesWithLabels, label of item {i}", f"labels {labels.tolist()}", got, right, [
            ("this is the number of the item, not its label", i),
            ("this is the label of the item before", labels[i - 1]),
            ("this is the label of the next item", labels[(i + 1) % _COUNT]),
            ("this is always the first label", labels[0]),
            ("these are all labels", labels),
            ("this is a one-hot vector: cross-entropy takes the number", np.eye(10)[right]),
        ], tolerance=0)  # fmt: skip
    if default_collate(found).dtype != torch.int64:
        raise CheckError(
            f"ImagesWithLabels: a batch of labels is {default_collate(found).dtype}",
            "cross-entropy needs int64: int(self.labels[i])",
        )


@ImagesWithLabels.part("batches, by a DataLoader")
def _(answer: type) -> None:
    data_set, images, labels = _data_set(answer, lambda image: image.float())
    loader = DataLoader(data_set, 4)
    _item(answer, data_set, 0)
    batches = call("ImagesWithLabels, in a DataLoader", answer, lambda: list(loader))
    X, y = zip(*batches, strict=True)
    expect("ImagesWithLabels, images of all batches", "batches of 4", torch.cat(X), images)
    expect("ImagesWithLabels, labels of all batches", "batches of 4", torch.cat(y), labels)


# --- normalisation

_STATISTICS = (([0.49, 0.31, 0.62], [0.25, 0.11, 0.4]), ([0.1, 0.8, 0.5], [0.5, 0.3, 0.2]))
_ORDER: Causes = (
    (
        r"Input tensor should be a float tensor",
        "Normalize takes floats: ToDtype(torch.float32, scale=True) comes before it",
    ),
    (
        r"pic should be PIL Image or ndarray",
        "ToTensor takes PIL images and arrays; v2.ToDtype(torch.float32, scale=True) takes tensors",
    ),
    (
        r"must match the size of tensor|not broadcastable",
        "mean and std belong to the channels: mean[:, None, None]",
    ),
)


def _wrongly_normalized(image: Tensor, mean: Tensor, std: Tensor) -> Iterator[Mistake]:
    X, m, s = image.double() / 255, mean.double()[:, None, None], std.double()[:, None, None]
    right = (X - m) / s
    # Mean and std divided by 255 as well make the same.
    yield "the bytes are not divided by 255, as by ToDtype with scale=True, or mean and std are", (
        (255 * X - m) / s
    )  # fmt: skip
    yield "the pixels are divided by 255 and not normalised: Normalize is missing", X
    yield "nothing is done", 255 * X
    yield "mean and std are swapped", (X - s) / m
    yield "the mean is subtracted and std is not divided by", X - m
    yield "std is divided by and the mean is not subtracted", X / s
    yield "the mean is subtracted after the division by std", X / s - m
    yield "the mean is added, and should be subtracted", (X + m) / s
    yield "std is multiplied by, and should be divided by", (X - m) * s
    yield "the variance is divided by, not the standard deviation", (X - m) / s**2
    yield "the root of std is divided by", (X - m) / s.sqrt()
    yield "the pixels are divided by 256, not by 255", (X * 255 / 256 - m) / s
    yield "the pixels are divided by 255 twice", (X / 255 - m) / s
    yield "it is normalised twice", (right - m) / s
    yield "the first channel's mean and std are used for all", (X - m[:1]) / s[:1]
    yield "mean and std are averaged over the channels", (X - m.mean()) / s.mean()
    yield "mean and std are in reverse order", (X - m.flip(0)) / s.flip(0)
    yield "pixels are mapped to -1…1: mean and std are not used", 2 * X - 1
    for correction in (0, 1):
        own = X.std((1, 2), correction=correction)[:, None, None]
        yield "the image's own mean and std are used, not those that are given", (
            (X - X.mean((1, 2))[:, None, None]) / own
        )  # fmt: skip
        yield "the image's own mean and std are used, not those that are given", (
            (X - X.mean()) / X.std(correction=correction)
        )  # fmt: skip
    yield "the pixels are divided by 255 as whole numbers (//)", (
        ((image // 255).double() - m) / s
    )  # fmt: skip
    yield "the mean is subtracted from bytes, which wrap round below 0", (
        (image - (255 * mean).to(torch.uint8)[:, None, None]).double() / 255 / s
    )  # fmt: skip


def _expect_normalized(answer: Callable, *shape: int) -> None:
    for seed, statistics in enumerate(_STATISTICS):
        mean, std = map(torch.tensor, statistics)
        transform = call("to_normalized", answer, lambda: answer(mean, std))  # noqa: B023
        if not callable(transform):
            raise CheckError(
                f"to_normalized should return a transform, not {type(transform).__name__}",
                "v2.Compose([…]) joins several into one",
            )
        image = _bytes(*shape, seed=seed)
        copy = image.clone()
        got = call("to_normalized: the transform", answer, lambda: transform(copy), causes=_ORDER)  # noqa: B023
        kept("to_normalized", "image", copy, image)
        right = reference.to_normalized(mean.double(), std.double())(image)
        given = f"an image {list(shape)}, mean {statistics[0]}, std {statistics[1]}"
        wrong = _wrongly_normalized(image, mean, std)
        expect("to_normalized", given, got, right, wrong, tolerance=1e-5)
        if not isinstance(got, Tensor) or got.dtype != torch.float32:
            raise CheckError(
                f"to_normalized makes {getattr(got, 'dtype', type(got).__name__)} of an image",
                "the network computes in float32: ToDtype(torch.float32, scale=True)",
            )


@to_normalized.part("images of 32 × 32 pixels")
def _(answer: Callable) -> None:
    _expect_normalized(answer, 3, 32, 32)


@to_normalized.part("images that are not square")
def _(answer: Callable) -> None:
    _expect_normalized(answer, 3, 3, 7)
    _expect_normalized(answer, 3, 5, 3)


# --- the loaders


def _numbered(count: int, first: int = 0) -> TensorDataset:
    """Return images whose pixels and labels are their number, from `first` on."""
    numbers = torch.arange(first, first + count)
    return TensorDataset(numbers[:, None, None, None].expand(-1, 3, 2, 2).float(), numbers)


_VALIDATION = 1000  # the number of the first validation image


class _Loaders:
    """The two loaders that an answer returns for sets of these sizes."""

    def __init__(self, answer: Callable, train: int, validation: int, batch_size: int, seed=0):
        self.given = f"{train} and {validation} images, batch_size {batch_size}"
        self.sizes, self.batch_size, self.answer = (train, validation), batch_size, answer
        result = call(
            "loaders",
            answer,
            lambda: answer(
                *(_numbered(train), _numbered(validation, _VALIDATION), batch_size),
                torch.Generator().manual_seed(seed),
            ),
        )
        names = ("train_loader", "validation_loader")
        self.loaders = pair("loaders", result, names)
        for name, loader in zip(names, self.loaders, strict=True):
            if not isinstance(loader, DataLoader):
                raise CheckError(f"loaders: {name} is no DataLoader, but {loader!r:.60}")
            loader.num_workers = 0  # here, no other process need be started

    def epoch(self, which: int) -> list[list[int]]:
        """Return the numbers of the images of each batch that a loader gives."""
        what = f"loaders, {('train', 'validation')[which]}_loader"
        batches = call(what, self.answer, lambda: list(self.loaders[which]))
        return [y.tolist() for _, y in batches]


def _joined(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


def _require_whole(run: _Loaders, which: int, batches: list[list[int]]) -> None:
    """Raise `CheckError` unless a loader gives each image of its set once."""
    first = which * _VALIDATION
    right = list(range(first, first + run.sizes[which]))
    got = sorted(_joined(batches))
    if got == right:
        return
    name = ("train_loader", "validation_loader")[which]
    whole = run.sizes[which] // run.batch_size * run.batch_size
    if not set(got) <= set(right):
        hint = f"{name} has the images of the other set"
    elif len(got) == whole and len(set(got)) == whole:
        hint = "drop_last=True leaves out the images of the last, smaller batch"
    elif len(set(got)) < len(got):
        hint = "images are drawn with replacement; an epoch should see each of them once"
    else:
        hint = ""
    missing = sorted(set(right) - set(got))
    raise CheckError(
        f"loaders: {name} does not give each image once\n  given: {run.given}\n"
        f"  expected: {len(right)} images\n  got: {len(got)}, {len(missing)} of them are missing",
        hint,
    )


_CASES = ((23, 11, 5), (12, 8, 4), (9, 7, 16))


@loaders.part("every image once in an epoch, in both sets")
def _(answer: Callable) -> None:
    for case in _CASES:
        run = _Loaders(answer, *case)
        for which in (0, 1):
            for _ in range(2):
                _require_whole(run, which, run.epoch(which))


@loaders.part("batches of batch_size images")
def _(answer: Callable) -> None:
    for case in _CASES:
        run = _Loaders(answer, *case)
        got = [len(batch) for batch in run.epoch(0)]
        whole, rest = divmod(case[0], case[2])
        right = [case[2]] * whole + [rest] * (rest > 0)
        if got != right:
            hint = ""
            if set(got) == {1}:
                hint = "batch_size is not passed on: a DataLoader's own is 1"
            elif got == right[:whole]:
                hint = "drop_last=True leaves out the images of the last, smaller batch"
            raise CheckError(
                f"loaders: the batches of train_loader have other sizes\n  given: {run.given}\n"
                f"  expected: {right}\n  got: {got}",
                hint,
            )


@loaders.part("the training images, shuffled anew in each epoch")
def _(answer: Callable) -> None:
    run = _Loaders(answer, 40, 11, 8)
    orders = [_joined(run.epoch(0)) for _ in range(3)]
    if orders[0] == sorted(orders[0]):
        raise CheckError(
            f"loaders: train_loader keeps the order of the images\n  given: {run.given}",
            "shuffle=True belongs to the training images",
        )
    if orders[0] == orders[1] or orders[1] == orders[2]:
        raise CheckError(
            f"loaders: train_loader gives the same order in each epoch\n  given: {run.given}",
            "shuffle=True draws a new order for each epoch; here one is drawn for all",
        )


@loaders.part("the validation images, in their order")
def _(answer: Callable) -> None:
    for case in ((23, 40, 5), (12, 17, 4)):
        run = _Loaders(answer, *case)
        for _ in range(2):
            order = _joined(run.epoch(1))
            _require_whole(run, 1, [order])
            if order != sorted(order):
                raise CheckError(
                    f"loaders: validation_loader shuffles the images\n  given: {run.given}",
                    "shuffle=True belongs to the training images alone",
                )


@loaders.part("the order of the training images comes from `generator`")
def _(answer: Callable) -> None:
    orders = []
    for global_seed, seed in ((1, 5), (2, 5), (1, 6)):
        torch.default_generator.manual_seed(global_seed)
        run = _Loaders(answer, 40, 11, 8, seed)
        orders.append([_joined(run.epoch(0)) for _ in range(2)])
        _require_whole(run, 0, [orders[-1][0]])
    if orders[0] != orders[1]:
        raise CheckError(
            f"loaders: the same `generator` gives another order\n  given: {run.given}",
            "generator=generator is not passed to the DataLoader of the training images",
        )
    if orders[0] == orders[2]:
        raise CheckError(
            f"loaders: two generators of different seeds give the same order\n  given: {run.given}",
            "train_loader keeps the order of the images"
            if orders[0][0] == sorted(orders[0][0])
            else "a generator of its own is made inside, with a fixed seed",
        )
