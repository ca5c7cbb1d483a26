"""The check of `evaluate`: mean error and accuracy on a whole set, whatever its chunks."""

from collections.abc import Callable, Iterator

import numpy as np

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import as_array, expect
from helpers.checks.errors import CheckError
from helpers.checks.parts import Check
from helpers.checks.sgd_variants import reference
from helpers.checks.sgd_variants.functions import CAUSES
from helpers.checks.sgd_variants.reference import PARAMETER_COUNT, standing_in
from helpers.checks.sgd_variants.training import Examples, examples, require_kept

evaluate = Check("evaluate", "error and accuracy agree with the reference on sets of 3 sizes")

ERROR, ACCURACY = 0, 1


class _Linear:
    """Stands in for `forward` with a linear network, which is fast, and notes its batches."""

    def __init__(self):
        self.sizes: list[int] = []

    def __call__(self, theta: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
        self.sizes.append(images.shape[3])
        return {"images": images, "logits": self.logits(theta, images)}

    @staticmethod
    def logits(theta: np.ndarray, images: np.ndarray) -> np.ndarray:
        return theta[:7840].reshape(10, 784) @ (images.reshape(784, -1) - 0.5)


class Run:
    """One call of the answer on `count` images, and the reference for it.

    About half of the labels are right; the last five are as wrong as can be, so that a last chunk
    that is smaller than the others shows when it is left out or weighted wrongly.
    """

    def __init__(self, answer: Callable, count: int, seed: int):
        self.theta = 0.3 * np.random.default_rng(seed).normal(size=PARAMETER_COUNT)
        drawn = examples(count, seed)
        self.logits = _Linear.logits(self.theta, drawn.images)
        labels = np.where(drawn.labels < 5, drawn.labels, self.logits.argmax(0))
        labels[-5:] = self.logits[:, -5:].argmin(0)
        self.examples = Examples(drawn.images, np.eye(10)[:, labels], labels)
        given = Examples(drawn.images.copy(), self.examples.one_hot.copy(), labels.copy())
        theta, linear = self.theta.copy(), _Linear()
        with standing_in(answer, "evaluate", forward=linear), np.errstate(all="ignore"):
            result = attempt("evaluate", lambda: answer(theta, given), causes=CAUSES)
        self.kept, self.kept_theta, self.sizes = given, theta, linear.sizes
        if not isinstance(result, list | tuple) or len(result) != 2:
            raise CheckError(f"evaluate should return (mean error, accuracy), not {result!r:.80}")
        self.result = [as_array("evaluate", value) for value in result]

    def expect(self, *which: int) -> None:
        """Compare the error, the accuracy, or both."""
        right, count = _means(self.logits, self.examples.labels), len(self.examples.labels)
        for i in which:
            expect(
                ("evaluate, mean error", "evaluate, accuracy")[i],
                f"{count} images",
                self.result[i],
                right[i],
                ((words, pair[i]) for words, pair in self._mistakes(*right)),
                batch_size=count,
                tolerance=1e-9,
            )

    def _mistakes(self, error: float, accuracy: float) -> Iterator[tuple[str, tuple]]:
        count, labels, nothing = len(self.examples.labels), self.examples.labels, np.nan
        yield "error and accuracy are returned in the wrong order", (accuracy, error)
        yield "the accuracy is in per cent; a fraction of 1 is asked for", (nothing, 100 * accuracy)
        yield "correct answers are counted, not their fraction", (nothing, count * accuracy)
        yield "the fraction of wrong answers is returned", (nothing, 1 - accuracy)
        least = (self.logits.argmin(0) == labels).mean()
        yield "the smallest logit is taken for the prediction (argmin)", (nothing, least)
        yield "whole-number division (//) cuts the fraction off", (nothing, float(accuracy == 1))
        yield "the errors are summed, and should be averaged", (error * count, nothing)
        yield from self._mistakes_in_chunks()

    def _mistakes_in_chunks(self) -> Iterator[tuple[str, tuple]]:
        """Yield what goes wrong in putting together the chunks that the network was given."""
        ends = np.cumsum(self.sizes)
        if not len(ends) or ends[-1] > len(self.examples.labels):
            return
        cuts = list(zip(ends - self.sizes, ends, strict=True))
        labels, count = self.examples.labels, len(self.examples.labels)
        each = np.array([_means(self.logits[:, a:b], labels[a:b]) for a, b in cuts])
        sizes = np.array(self.sizes)[:, np.newaxis]
        whole = (each * sizes).sum(0)
        if ends[-1] < count:
            words = f"only {ends[-1]} of {count} images are used: the last chunk is dropped"
            yield words, tuple(whole / ends[-1])
            yield words, tuple(whole / count)
            yield words, tuple(each.mean(0))
        for words, value in {
            "chunks of different size have the same weight: a mean of the chunks' means": each.mean(
                0
            ),
            "the chunks' means are added up": each.sum(0),
            "the chunks' means are added up and divided by all images": each.sum(0) / count,
            "the sum over images is divided by the number of chunks": whole / len(each),
            "every chunk is taken to be as large as the first": each.sum(0) * sizes[0] / count,
            "only the last chunk is returned": each[-1],
            "only the first chunk is returned": each[0],
        }.items():
            yield words, tuple(value)


def _means(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    log_p = reference.log_softmax(logits)
    error = -log_p[labels, np.arange(len(labels))].mean()
    return float(error), float((logits.argmax(0) == labels).mean())


@evaluate.part("the mean error")
def _(answer: Callable) -> None:
    for seed, count in enumerate((1_000, 500)):
        Run(answer, count, seed).expect(ERROR)


@evaluate.part("the accuracy")
def _(answer: Callable) -> None:
    for seed, count in enumerate((1_000, 500)):
        Run(answer, count, seed).expect(ACCURACY)


@evaluate.part("a number of images that no chunk divides")
def _(answer: Callable) -> None:
    Run(answer, 1_009, 4).expect(ERROR, ACCURACY)  # 1 009 is prime


@evaluate.part("a few images; theta and the examples stay as they are")
def _(answer: Callable) -> None:
    for seed, count in enumerate((6, 7)):
        run = Run(answer, count, seed)
        run.expect(ERROR, ACCURACY)
        require_kept("evaluate", run.kept, run.examples)
        if not np.array_equal(run.kept_theta, run.theta):
            raise CheckError("evaluate changes theta", "an evaluation takes no steps")
