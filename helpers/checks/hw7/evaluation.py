"""The check of `evaluate`: mean loss and accuracy of a network on a whole set."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from helpers.checks.answers import attempt
from helpers.checks.diagnosis import as_array, expect
from helpers.checks.errors import CheckError
from helpers.checks.hw7.reference import (
    Witness,
    bytes_and_labels,
    randomize,
    require_unchanged,
    small_networks,
)
from helpers.checks.measures import Measures, measures, wrong_measures, wrongly_joined
from helpers.checks.parts import Check

evaluate = Check("evaluate", "loss and accuracy agree with the reference on 3 networks")

LOSS, ACCURACY = 0, 1


class Run:
    """One call of the answer on `count` images, and the reference for it.

    About half of the labels are the reference's own predictions; the last five are as wrong as can
    be, so that a last batch that is smaller than the others shows when it is weighted wrongly.
    """

    def __init__(self, answer: Callable, name: str, network: nn.Module, count: int):
        self.images, labels = bytes_and_labels(count)
        self.reference = copy.deepcopy(network).double()
        logits = self._logits(self.images)
        self.labels = torch.where(labels < 5, labels, logits.argmax(1))
        self.labels[-5:] = logits[-5:].argmin(1)
        self.given = f"{name}, {count} images"
        self.network = network
        witness = next(m for m in network.modules() if isinstance(m, Witness))
        images, labels = self.images.clone(), self.labels.clone()
        result = attempt("evaluate", lambda: answer(network, images, labels))
        require_unchanged("evaluate", images, labels, self.images, self.labels)
        self.witness = witness
        self.result = _as_pair(result)

    def expect(self, *which: int) -> None:
        """Compare the loss, the accuracy, or both."""
        right = measures(self._logits(self.images), self.labels)
        what = ("evaluate, mean loss", "evaluate, accuracy")
        for i in which:
            mistakes = ((words, pair[i]) for words, pair in self._mistakes())
            expect(
                what[i], self.given, self.result[i], right[i], mistakes, batch_size=len(self.labels)
            )

    @torch.no_grad()
    def _logits(self, X: Tensor, scale: float = 255, training: bool = False) -> Tensor:
        # A network in training mode also changes: its running means.
        return copy.deepcopy(self.reference).train(training)(X.double() / scale)

    def _mistakes(self) -> Iterator[tuple[str, Measures]]:
        """Yield mistakes with the loss and the accuracy that they give."""
        logits = self._logits(self.images)
        for words, scale in {
            "the images are not divided by 255": 1,
            "the images are divided by 255 twice": 255**2,
        }.items():
            yield words, measures(self._logits(self.images, scale), self.labels)
        yield from wrong_measures(logits, self.labels)
        sizes = self.witness.rows or [len(self.labels)]
        yield from wrongly_joined(logits, self.labels, sizes)
        if sum(sizes) <= len(self.labels):
            yield from self._in_training_mode(sizes)
        yield (
            "the network is in training mode: model.eval() is missing",
            measures(self._logits(self.images, training=True), self.labels),
        )

    def _in_training_mode(self, sizes: list[int]) -> Iterator[tuple[str, Measures]]:
        """Yield what batch normalisation makes of the batches that the network was given."""
        seen = sum(sizes)
        X = self.images[:seen].split(sizes)
        trained = torch.cat([self._logits(x, training=True) for x in X if len(x) > 1])
        if len(trained) == len(self.labels):
            yield (
                "the network is in training mode: model.eval() is missing",
                measures(trained, self.labels),
            )


def _as_pair(result: object) -> list[float]:
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise CheckError(
            f"evaluate should return a pair (mean loss, accuracy), not {result!r:.80}",
            "" if isinstance(result, list | tuple) else "one of the two is missing",
        )
    for value in result:
        if isinstance(value, Tensor) and value.requires_grad:
            raise CheckError(
                "evaluate returns a tensor with gradients",
                "torch.no_grad() is missing, and the loss keeps its whole graph in memory",
            )
    return [as_array(what, value) for what, value in zip(("loss", "accuracy"), result, strict=True)]


def _networks() -> dict[str, nn.Module]:
    """Return the small networks, the third with running means that differ from any batch's."""
    networks = small_networks()
    for module in networks["a network with batch normalisation"].modules():
        if isinstance(module, nn.BatchNorm2d):
            randomize([module.running_mean], seed=3)
            module.running_var.fill_(2.0)
    return networks


@evaluate.part("the mean loss")
def _(answer: Callable) -> None:
    for name in ("a linear network", "two layers with ReLU"):
        Run(answer, name, _networks()[name], 997).expect(LOSS)


@evaluate.part("the accuracy")
def _(answer: Callable) -> None:
    for name in ("a linear network", "two layers with ReLU"):
        Run(answer, name, _networks()[name], 997).expect(ACCURACY)


@evaluate.part("a number of images that no batch size divides")
def _(answer: Callable) -> None:
    name = "a linear network"  # 5 003 is prime
    Run(answer, name, _networks()[name], 5_003).expect(LOSS, ACCURACY)


@evaluate.part("evaluation mode")
def _(answer: Callable) -> None:
    name = "a network with batch normalisation"
    Run(answer, name, _networks()[name], 53).expect(LOSS, ACCURACY)


@evaluate.part("no gradients, and the network's mode is as before")
def _(answer: Callable) -> None:
    for training in (True, False):
        name = "two layers with ReLU"
        network = _networks()[name].train(training)
        run = Run(answer, name, network, 97)
        run.expect(LOSS, ACCURACY)
        if run.witness.tracked_gradients:
            hint = "torch.no_grad() or torch.inference_mode() is missing"
            raise CheckError("evaluate tracks gradients, which costs time and memory", hint)
        if network.training != training:
            modes = {True: "training", False: "evaluation"}
            raise CheckError(
                f"evaluate leaves a network in {modes[not training]} mode that was given in "
                f"{modes[training]} mode",
                "model.train(was_training) is missing at the end, with was_training = "
                "model.training from the beginning"
                if training
                else "model.train() is called whatever the mode was before",
            )
