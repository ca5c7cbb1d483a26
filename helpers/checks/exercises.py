"""Hold what an answer makes of some tensors, values and gradients, against a reference."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from helpers.checks.answers import Causes, attempt
from helpers.checks.diagnosis import Mistake, as_array, expect, same
from helpers.checks.errors import CheckError

Function = Callable[..., Tensor]  # of the tensors of an exercise, in their order

CUT = "the gradient is cut off: .detach(), .data, .item(), torch.tensor(…) or torch.no_grad()"
# Of the largest expected value. Double precision tells a small mistake from rounding.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Return random numbers of both signs in double precision."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Exercise:
    """The tensors that an answer is given, what the reference makes of them, and known mistakes.

    `right` and the mistakes are functions of these tensors, None where there is no bias.
    `settings` says what else the answer is given, in words.
    """

    inputs: Mapping[str, Tensor | None]
    right: Function
    mistakes: Iterable[tuple[str, Function]] = ()
    settings: str = ""
    tolerances: Mapping[torch.dtype, float] = field(default_factory=TOLERANCE.copy)
    causes: Causes = ()

    def __str__(self) -> str:
        given = [t for t in self.inputs.values() if t is not None]
        words = [
            f"no {name}" if t is None else f"{name} {list(t.shape)}"
            for name, t in self.inputs.items()
        ]
        return ", ".join([*words, *filter(None, [self.settings]), str(given[0].dtype)[6:]])

    def surroundings(self, name: str, answer: Callable) -> AbstractContextManager[object]:
        """Return what `answer`, called `name`, runs in; a chapter puts its reference there."""
        return nullcontext()

    def judge(
        self,
        name: str,
        answer: Callable,
        action: Function,
        *,
        gradients: bool = False,
        kept: bool = False,
    ) -> Tensor:
        """Compare what `action` makes of copies of the inputs with the reference; return it.

        `action` calls `answer`. With `gradients`, those with respect to all inputs are compared
        too; with `kept`, number type and unchanged inputs are.
        """
        wanted = self._results(self.right, gradients)
        copies = self._copies(gradients)
        with self.surroundings(name, answer):
            try:
                Y = attempt(name, lambda: action(*copies.values()), causes=self.causes)
            except CheckError as failure:
                if failure.__cause__ is None:  # it says itself what is wrong
                    raise
                told = CheckError(f"{failure}\n  given: {self}", failure.hint)
                raise told from failure.__cause__
            self._compare(name, Y, wanted, "")
            if gradients:
                found = attempt(name, lambda: _gradients(name, Y, copies), causes=self.causes)
        for which in found if gradients else ():
            self._compare(name, found[which], wanted, which)
        if kept:
            self._require_kept(name, Y, copies)
        return Y

    def in_single_precision(self) -> "Exercise":
        """Return the same exercise in float32."""
        inputs = {
            name: t.float() if t is not None and t.is_floating_point() else t
            for name, t in self.inputs.items()
        }
        return replace(self, inputs=inputs)

    def _compare(self, name: str, got: object, wanted: dict[str, Tensor], which: str) -> None:
        if not isinstance(got, Tensor):
            raise CheckError(f"{name} should return a tensor, not {got!r:.60}")
        what = f"{name}, gradient with respect to {which}" if which else name
        tolerance = self.tolerances.get(wanted[which].dtype, 1e-9)
        actual, right = as_array(what, got), as_array(what, wanted[which])
        if tolerance < 1e-6 and not same(actual, right, tolerance) and same(actual, right, 2e-6):
            raise CheckError(
                f"{what}: right to about 7 digits only, where 16 are possible\n  given: {self}",
                "something inside is float32 although the arguments are float64: X.new_zeros(…) "
                "and X.dtype keep the number type",
            )
        try:
            with np.errstate(invalid="ignore"):  # a mistake may overflow
                expect(what, str(self), actual, right, self._wrong(which), tolerance=tolerance)
        except CheckError as failure:
            if failure.hint or not which:
                raise
            raise CheckError(str(failure), f"in a part, {CUT}") from None

    def _wrong(self, which: str) -> Iterator[Mistake]:
        """Yield what the mistakes give, of a gradient those alone that leave the values right."""
        right = as_array("", self._results(self.right, False)[""])
        for words, function in self.mistakes:
            try:
                found = self._results(function, bool(which))
            except (RuntimeError, ValueError, IndexError):  # it has no meaning for these shapes
                continue
            if not which or same(as_array("", found[""]), right, 1e-9):
                yield words, found[which]

    def _results(self, function: Function, gradients: bool) -> dict[str, Tensor]:
        copies = self._copies(gradients)
        Y = function(*copies.values())
        return {"": Y} | (_gradients("", Y, copies) if gradients else {})

    def _copies(self, gradients: bool) -> dict[str, Tensor | None]:
        return {
            name: t if t is None else t.clone().requires_grad_(gradients and t.is_floating_point())
            for name, t in self.inputs.items()
        }

    def _require_kept(self, name: str, Y: Tensor, copies: dict[str, Tensor | None]) -> None:
        for which, before in self.inputs.items():
            if before is not None and not torch.equal(before, copies[which]):
                raise CheckError(
                    f"{name} changes {which}, which belongs to its caller\n  given: {self}",
                    "an operation in place (+=, …_(), [...] =) works on the caller's tensor",
                )
        dtype = next(t.dtype for t in self.inputs.values() if t is not None)
        if Y.dtype != dtype and dtype.is_floating_point:
            raise CheckError(
                f"{name} turns {dtype} into {Y.dtype}\n  given: {self}",
                "X.new_zeros(…) and dtype=X.dtype keep the number type",
            )


def _gradients(name: str, Y: Tensor, inputs: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """Return the gradients of a random combination of the outputs, by the names of the inputs."""
    leaves = {which: t for which, t in inputs.items() if t is not None and t.requires_grad}
    if not Y.requires_grad:
        raise CheckError(f"{name}: the output knows no gradient", CUT)
    weights = normal(*Y.shape, seed=99).to(Y.dtype)
    found = torch.autograd.grad(Y, list(leaves.values()), weights, allow_unused=True)
    for which, gradient in zip(leaves, found, strict=True):
        if gradient is None and name:
            raise CheckError(f"{name}: no gradient reaches {which}", CUT)
    return {
        which: torch.zeros_like(leaf) if gradient is None else gradient
        for (which, leaf), gradient in zip(leaves.items(), found, strict=True)
    }
