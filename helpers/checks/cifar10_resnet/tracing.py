"""Watch a network at work: which parameters it uses, in which order, and what reaches them."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Layer:
    """A weight with more than one axis and the vectors that are used after it, in order.

    `vectors` are biases, scales and shifts; `averages` are running means and variances.
    """

    weight: Tensor
    vectors: list[Tensor] = field(default_factory=list)
    averages: list[Tensor] = field(default_factory=list)


class Trace(TorchFunctionMode):
    """Notes each parameter and each floating-point buffer of a network when it is first used.

    This needs no names and no classes: whatever a network is made of, its parameters pass through
    PyTorch's functions in the order of its layers. `inputs` has what reaches each convolution and
    each linear layer.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        tensors = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
        self._own = {id(tensor): tensor for tensor in tensors}
        self._parameters = {id(parameter) for parameter in model.parameters()}
        self._used: dict[int, Tensor] = {}
        self.inputs: list[tuple[Tensor, Tensor]] = []  # the weight and what it is applied to

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for value in tree_leaves((args, kwargs)):
            if id(value) in self._own:
                self._used.setdefault(id(value), value)
        if getattr(func, "__name__", "") in ("conv2d", "linear") and len(args) > 1:
            self.inputs.append((args[1], args[0].detach().clone()))
        return func(*args, **kwargs)

    def layers(self) -> list[Layer]:
        """Return the layers in the order of their use; what comes before any weight is left out."""
        layers: list[Layer] = []
        for key, tensor in self._used.items():
            if key in self._parameters and tensor.dim() > 1:
                layers.append(Layer(tensor))
            elif layers and key in self._parameters:
                layers[-1].vectors.append(tensor)
            elif layers:
                layers[-1].averages.append(tensor)
        return layers

    def unused(self, model: nn.Module) -> list[str]:
        """Return the names of the parameters that the network has and does not use."""
        return [name for name, p in model.named_parameters() if id(p) not in self._used]


@torch.no_grad()
def traced(model: nn.Module, X: Tensor) -> tuple[object, Trace]:
    """Return what a network makes of `X`, and the trace of it."""
    trace = Trace(model)
    with trace:
        Y = model(X)
    return Y, trace
