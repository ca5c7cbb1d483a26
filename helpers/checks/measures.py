"""What goes wrong with a mean loss and an accuracy over a set that is seen in batches."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Measures = tuple[float, float]  # mean loss, accuracy
_NOTHING = float("nan")  # equal to no answer


def measures(logits: Tensor, labels: Tensor) -> Measures:
    """Return the mean cross-entropy and the accuracy of logits `[n, classes]`."""
    correct = (logits.argmax(1) == labels).double().mean()
    return F.cross_entropy(logits, labels).item(), correct.item()


def wrong_measures(
    logits: Tensor, labels: Tensor, *, loss: str = "loss"
) -> Iterator[tuple[str, Measures]]:
    """Yield mistakes with the loss and the accuracy that they give, whatever the batches."""
    (value, accuracy), count = measures(logits, labels), len(labels)
    yield f"{loss} and accuracy are returned in the wrong order", (accuracy, value)
    yield "the accuracy is in per cent; a fraction of 1 is asked for", (_NOTHING, 100 * accuracy)
    yield "correct answers are counted, not their fraction", (_NOTHING, count * accuracy)
    yield "the fraction of wrong answers is returned", (_NOTHING, 1 - accuracy)
    least = (logits.argmin(1) == labels).double().mean().item()
    yield "the smallest logit is taken for the prediction (argmin)", (_NOTHING, least)
    yield "whole-number division (//) cuts the fraction off", (_NOTHING, float(accuracy == 1))
    plural = "losses" if loss == "loss" else f"{loss}s"
    yield f"the {plural} are summed, and should be averaged", (value * count, _NOTHING)
    probabilities = logits.softmax(1)
    again = F.cross_entropy(probabilities, labels).item()
    yield "a softmax comes before the cross-entropy, which has one already", (again, _NOTHING)
    unlogged = F.nll_loss(probabilities, labels).item()
    yield "nll_loss is given probabilities: the logarithm is missing", (unlogged, _NOTHING)
    plain = F.nll_loss(logits, labels).item()
    yield "the logits go into nll_loss without a log-softmax", (plain, _NOTHING)


def wrongly_joined(
    logits: Tensor,
    labels: Tensor,
    sizes: Sequence[int],
    batch: str = "batch",
    batch_size: int | None = None,
) -> Iterator[tuple[str, Measures]]:
    """Yield what goes wrong in putting together batches of these sizes, called as `batch` says.

    `batch_size` is the setting, which a single batch may be smaller than.
    """
    seen, count = sum(sizes), len(labels)
    if not sizes or seen > count:
        return
    plural = "batches" if batch == "batch" else f"{batch}s"
    parts = zip(logits[:seen].split(list(sizes)), labels[:seen].split(list(sizes)), strict=True)
    each = torch.tensor([measures(*part) for part in parts], dtype=torch.float64)
    weights = torch.tensor(sizes, dtype=torch.float64)[:, None]
    whole = (each * weights).sum(0)
    if seen < count:
        words = f"only {seen} of {count} images are used: the last {batch} is dropped"
        for value in (whole / seen, whole / count, each.mean(0)):
            yield words, tuple(value.tolist())
    for words, value in {
        f"{plural} of different size have the same weight: a mean of the {plural}' means": (
            each.mean(0)
        ),
        f"the {plural}' means are added up": each.sum(0),
        f"the {plural}' means are added up and divided by all images": each.sum(0) / count,
        f"the sum over images is divided by the number of {plural}": whole / len(each),
        f"every {batch} is taken to be as large as the first": each.sum(0) * sizes[0] / count,
        f"every {batch} is taken to be as large as the last": each.sum(0) * sizes[-1] / count,
        f"only the last {batch} is returned": each[-1],
        f"only the first {batch} is returned": each[0],
    }.items():
        yield words, tuple(value.tolist())
    if batch_size is not None:
        words = f"every {batch} is taken to have batch_size images"
        yield words, tuple((each.sum(0) * batch_size / count).tolist())
