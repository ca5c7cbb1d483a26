"""The check of `train_epoch`, which is given everything it needs and watched while it uses it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from helpers.checks.answers import Causes, attempt
from helpers.checks.diagnosis import Mistake, as_array, expect, same
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check
from helpers.checks.sgd_variants.functions import CAUSES
from helpers.checks.sgd_variants.reference import standing_in

train_epoch = Check("train_epoch", "batches, steps and the mean error agree with the reference")

_CAUSES: Causes = (
    (
        r"out of bounds for axis|too many indices|boolean index did not match",
        "the batch is the last axis: examples.images[..., batch], examples.one_hot[:, batch]",
    ),
    *CAUSES,
)


@dataclass(frozen=True)
class Examples:
    """Images `[1, 28, 28, n]`, one-hot labels `[10, n]`, labels `[n]`, as in the notebook."""

    images: np.ndarray
    one_hot: np.ndarray
    labels: np.ndarray


def examples(count: int, seed: int) -> Examples:
    """Return random images and labels in double precision."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=count)
    return Examples(rng.random((1, 28, 28, count)), np.eye(10)[:, labels], labels)


def require_kept(what: str, now: Examples, before: Examples) -> None:
    """Raise `CheckError` when the answer `what` has changed the examples."""
    for name in ("images", "one_hot", "labels"):
        if not np.array_equal(getattr(now, name), getattr(before, name)):
            raise CheckError(f"{what} changes the examples' {name}", "work on a copy")


class Network:
    """A small stand-in for the network, which notes what it is asked.

    Its error depends on theta, on all pixels and on the labels, and each image has its own.
    """

    def __init__(self, seed: int):
        self.weights = np.random.default_rng(seed).normal(size=(4, 784)) / 28
        self.calls: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.steps: list[np.ndarray] = []
        self.events = ""  # g for a gradient, s for a step

    def error_and_gradient(
        self, theta: np.ndarray, images: np.ndarray, one_hot: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Return the mean of (θ · features - label)² and its gradient, and note the arguments."""
        if np.ndim(images) != 4 or np.shape(images)[:3] != (1, 28, 28):
            raise CheckError(
                f"train_epoch gives images of shape {np.shape(images)} to error_and_gradient",
                "the batch is the last axis: examples.images[..., batch]",
            )
        if np.shape(one_hot) != (10, images.shape[3]):
            raise CheckError(
                f"train_epoch gives one_hot of shape {np.shape(one_hot)} for {images.shape[3]} "
                "images to error_and_gradient",
                "the batch is the last axis: examples.one_hot[:, batch]",
            )
        self.calls.append((theta.copy(), np.array(images), np.array(one_hot)))
        self.events += "g"
        features = self.weights @ images.reshape(784, -1)
        left = theta @ features - one_hot.argmax(0)
        return float((left**2).mean()), 2 * features @ left / images.shape[3]

    def step(self, theta: np.ndarray, gradient: np.ndarray) -> None:
        """Change theta in place, and note the gradient."""
        self.steps.append(np.array(gradient))
        self.events += "s"
        theta -= 0.2 * gradient


_START = np.array([0.5, -1.0, 2.0, 0.25])


class Run:
    """One call of the answer, and the reference for it."""

    def __init__(self, answer: Callable, count: int, size: int, seed: int):
        self.examples = examples(count, seed)
        order = np.random.default_rng(seed).permutation(count)
        self.batches = [order[first : first + size] for first in range(0, count, size)]
        self.sizes = np.array([len(batch) for batch in self.batches])
        self.given = (
            f"{count} images, {len(self.batches)} batches of {size}, the last {self.sizes[-1]}"
        )
        self.network, self.theta = Network(seed), _START.copy()
        given = Examples(
            *(getattr(self.examples, n).copy() for n in ("images", "one_hot", "labels"))
        )
        with standing_in(answer, "train_epoch"):
            self.result = attempt(
                "train_epoch",
                lambda: answer(
                    self.theta,
                    given,
                    [batch.copy() for batch in self.batches],
                    self.network.error_and_gradient,
                    self.network.step,
                ),
                causes=_CAUSES,
            )
        self.kept = given
        self.errors = self._follow(seed)

    def _follow(self, seed: int) -> np.ndarray:
        """Return the error of each batch; `reference` and `right` hold its calls and its theta."""
        self.reference, self.right = Network(seed), _START.copy()
        errors = []
        for batch in self.batches:
            error, gradient = self.reference.error_and_gradient(
                self.right, self.examples.images[..., batch], self.examples.one_hot[:, batch]
            )
            self.reference.step(self.right, gradient)
            errors.append(error)
        return np.array(errors)

    def expect_batches(self) -> None:
        """Compare the images and labels of each call with the batches, in their order."""
        calls, right = self.network.calls, self.reference.calls
        sizes = [images.shape[3] for _, images, _ in calls]
        if not calls:
            raise CheckError("train_epoch never calls error_and_gradient", "the loop is missing")
        if len(calls) > len(right):
            raise CheckError(
                f"train_epoch computes {len(calls)} gradients for {len(right)} batches\n"
                f"  given: {self.given}",
                "error_and_gradient is called twice for each batch"
                if len(calls) == 2 * len(right)
                else "",
            )
        for i, (_, images, one_hot) in enumerate(calls):
            _, wanted, labels = right[i]
            if not np.array_equal(images, wanted):
                raise CheckError(
                    f"train_epoch: the images of gradient {i + 1} are not those of batch {i + 1}\n"
                    f"  given: {self.given}",
                    self._explain_images(images, i),
                )
            if not np.array_equal(one_hot, labels):
                raise CheckError(
                    f"train_epoch: the labels of gradient {i + 1} are not those of its images\n"
                    f"  given: {self.given}",
                    "images and labels need the same indices: one_hot[:, batch]",
                )
        if len(calls) < len(right):
            raise CheckError(
                f"train_epoch computes {len(calls)} gradients for {len(right)} batches\n"
                f"  given: {self.given}",
                "the last, smaller batch is left out"
                if sizes == self.sizes[:-1].tolist() and self.sizes[-1] < self.sizes[0]
                else "the return stands inside the loop, so that it ends after one batch"
                if len(calls) == 1
                else "",
            )

    def _explain_images(self, images: np.ndarray, i: int) -> str:
        everything, count = self.examples.images, images.shape[3]
        known = {
            "all images are used, not those of the batch": everything,
            "the first images of the set are used: batch holds indices": everything[..., :count],
            "the images follow in the order of the set: batch holds indices": (
                everything[..., i * self.sizes[0] :][..., :count]
            ),
            "the images of a batch are sorted": everything[..., np.sort(self.batches[i])],
        }
        for j, batch in enumerate(self.batches):
            if j != i:
                known[f"they are those of batch {j + 1}"] = everything[..., batch]
        return next((words for words, value in known.items() if np.array_equal(value, images)), "")

    def expect_steps(self) -> None:
        """Check that each gradient is followed by one step with it, on the theta that was given."""
        network = self.network
        # What was wrong about the images costs the points of another part: follow its own calls.
        theta, twin = _START.copy(), Network(0)
        twin.weights = network.weights
        if not network.calls:
            raise CheckError("train_epoch never calls error_and_gradient", "the loop is missing")
        if not network.steps:
            raise CheckError(
                "train_epoch computes gradients, but never takes a step",
                "step(theta, gradient) is missing",
            )
        if network.events != "gs" * len(network.calls):
            raise CheckError(
                f"train_epoch: after each gradient comes one step\n  given: {self.given}\n  got: "
                f"{network.events[:20]} (g a gradient, s a step)",
                self._explain_events(network.events),
            )
        for i, ((at, images, one_hot), gradient) in enumerate(
            zip(network.calls, network.steps, strict=True)
        ):
            if not same(at, theta, 1e-12):
                raise CheckError(
                    f"train_epoch: gradient {i + 1} is not that of the present theta",
                    "each gradient has to be computed at the theta that the last step left: the "
                    "same array, changed in place",
                )
            _, right = twin.error_and_gradient(theta, images, one_hot)
            expect(
                f"train_epoch, gradient {i + 1} that step is given",
                self.given,
                gradient,
                right,
                [
                    ("it is multiplied by the size of the batch", right * images.shape[3]),
                    ("it is divided by the size of the batch again", right / images.shape[3]),
                    ("the gradients add up over the batches", np.sum(network.steps[: i + 1], 0)),
                ],
                tolerance=1e-9,
            )
            twin.step(theta, right)
        if not same(self.theta, theta, 1e-12):
            raise CheckError(
                "train_epoch leaves the theta that it was given as it was"
                if np.array_equal(self.theta, _START)
                else "train_epoch changes theta beside the steps",
                "a copy of theta is trained" if np.array_equal(self.theta, _START) else "",
            )

    @staticmethod
    def _explain_events(events: str) -> str:
        if events.startswith("gg"):
            return (
                "the step stands behind the loop: theta has to change after each batch"
                if events.count("s") == 1
                else "all gradients are computed at the first theta, before any step"
                if events.endswith("ss")
                else "the gradient is computed more than once for each batch"
            )
        return "a step is taken twice" if "ss" in events else ""

    def expect_mean(self) -> None:
        """Compare the returned error, from the errors that the answer itself was given."""
        result = as_array("train_epoch, mean error", self.result)
        network = self.network
        if not network.calls:
            raise CheckError("train_epoch never calls error_and_gradient", "the loop is missing")
        twin = Network(0)
        twin.weights = network.weights
        errors = np.array([twin.error_and_gradient(*call)[0] for call in network.calls])
        sizes = np.array([images.shape[3] for _, images, _ in network.calls])
        right = (errors * sizes).sum() / sizes.sum()

        def mistakes() -> Iterator[Mistake]:
            yield (
                "it is the mean of the batches' errors: a smaller batch counts less",
                errors.mean(),
            )
            yield "the errors of the batches are added up", errors.sum()
            yield "the errors of all images are added up, not averaged", (errors * sizes).sum()
            yield "it is the error of the last batch alone", errors[-1]
            yield "it is the error of the first batch alone", errors[0]
            yield "the errors of the batches are divided by all images", errors.sum() / sizes.sum()
            yield (
                "the sum over all images is divided by the number of batches",
                (errors * sizes).sum() / len(sizes),
            )
            yield (
                "every batch is taken to be as large as the first",
                (errors * sizes[0]).sum() / sizes.sum(),
            )
            yield (
                "the first batches are counted once more with each next one",
                np.cumsum(errors * sizes).sum() / sizes.sum(),
            )
            yield "the errors of the batches are returned, not their mean", errors

        expect("train_epoch, mean error", self.given, result, right, mistakes(), tolerance=1e-9)


_CASES = ((23, 5), (12, 4), (9, 5))


@train_epoch.part("the images and labels of each batch, in order")
def _(answer: Callable) -> None:
    for seed, (count, size) in enumerate(_CASES):
        Run(answer, count, size, seed).expect_batches()


@train_epoch.part("a step after each batch, with its gradient at the present theta")
def _(answer: Callable) -> None:
    for seed, (count, size) in enumerate(_CASES):
        Run(answer, count, size, seed).expect_steps()


@train_epoch.part("the mean error over all images")
def _(answer: Callable) -> None:
    for seed, (count, size) in enumerate(_CASES):
        Run(answer, count, size, seed).expect_mean()


@train_epoch.part("batches of one image; the examples stay as they are")
def _(answer: Callable) -> None:
    run = Run(answer, 5, 1, 7)
    if not run.network.calls or not run.network.steps:
        raise CheckError("train_epoch takes no step with 5 batches of one image each")
    sizes = {images.shape[3] for _, images, _ in run.network.calls}
    if sizes != {1}:
        raise CheckError(f"train_epoch takes {max(sizes)} images for a batch of one")
    require_kept("train_epoch", run.kept, run.examples)
