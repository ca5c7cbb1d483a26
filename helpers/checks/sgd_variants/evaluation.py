"""The check of `evaluate`: mean error and accuracy on a whole set, whatever its chunks."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import as_array, expect
from helpers.checks.errors import CheckError
from helpers.checks.measures import Measures, measures, wrong_measures, wrongly_joined
from helpers.checks.parts import Check
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
        right = measures(torch.from_numpy(self.logits.T), torch.from_numpy(self.examples.labels))
        count = len(self.examples.labels)
        for i in which:
            expect(
                ("evaluate, mean error", "evaluate, accuracy")[i],
                f"{count} images",
                self.result[i],
                right[i],
                ((words, pair[i]) for words, pair in self._mistakes()),
                batch_size=count,
                tolerance=1e-9,
            )

    def _mistakes(self) -> Iterator[tuple[str, Measures]]:
        """Yield mistakes with the error and the accuracy that they give."""
        logits, labels = torch.from_numpy(self.logits.T), torch.from_numpy(self.examples.labels)
        yield from wrong_measures(logits, labels, loss="error")
        yield from wrongly_joined(logits, labels, self.sizes, batch="chunk")


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
