"""The checks of hw7 pass every right answer, and name the mistake in each planted wrong one."""

import re

import numpy as np
import planting
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import checks
from helpers.checks import CheckError, NotWrittenYet, hw7
from helpers.checks.hw7 import network as network_check
from helpers.checks.hw7 import training as training_check
from helpers.checks.hw7.reference import ReferenceLeNet5, randomize, rows
from helpers.checks.planted import follow

# What torch warns of in some of the planted answers.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Reshape(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, X):
        return X.reshape(len(X), *self.shape)


def written(source: str, *changes: tuple[str, str]) -> object:
    """Return what `source` defines last, after each `old` in it has been replaced by `new`."""
    names = {"torch": torch, "nn": nn, "F": F, "np": np, "Reshape": Reshape}
    before = set(names)
    exec(compile(planting.edited(source, changes), "answer", "exec"), names)
    return [value for name, value in names.items() if name not in before][-1]


def passes(check, answer, capsys) -> None:
    check(answer)
    line = capsys.readouterr().out
    assert line.startswith(f"✓ {check.name}: ") and line.count("\n") == 1


def fails(check, answer, hint) -> None:
    """Assert that the answer is refused and that the mistake is named."""
    with pytest.raises(CheckError) as caught:
        check(answer)
    assert re.search(hint, str(caught.value)), str(caught.value)


# --- the network

NETWORK = """
class LeNet5(nn.Module):
    def __init__(self, pooling):
        super().__init__()
        self.pooling = pooling
        self.network = self._initialize_network()

    def _initialize_network(self):
        pool = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}.get(self.pooling)
        pool1 = [pool(2, 2)] if pool else []
        pool2 = [pool(2, 2)] if pool else []
        side = 5 if pool else 24
        return nn.Sequential(
            Reshape(1, 28, 28),
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            *pool1,
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            *pool2,
            nn.Flatten(),
            nn.Linear(16 * side * side, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )

    def forward(self, X):
        return self.network(X)
"""
POOL_TABLE = '{"avg": nn.AvgPool2d, "max": nn.MaxPool2d}'
RELU1 = "nn.Conv2d(1, 6, 5, padding=2),\n            nn.ReLU(),"
RELU2 = "nn.Conv2d(6, 16, 5),\n            nn.ReLU(),"
RELU3 = "nn.Linear(16 * side * side, 120),\n            nn.ReLU(),"
RELU4 = "nn.Linear(120, 84),\n            nn.ReLU(),"
POOL1, POOL2 = ("pool1 = [pool(2, 2)]", "pool2 = [pool(2, 2)]")


def without_relu(layer: str) -> tuple[str, str]:
    return layer, layer.replace("nn.ReLU(),", "")


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("Reshape(1, 28, 28)", "nn.Unflatten(1, (1, 28, 28))")],
        [("pool2 = [pool(2, 2)] if pool else []", "pool2 = pool1")],
        [("nn.ReLU()", "nn.ReLU(inplace=True)")],
        [("nn.Conv2d(1, 6, 5, padding=2)", "nn.ZeroPad2d(2), nn.Conv2d(1, 6, 5)")],
        [("self.network", "self.layers")],
        [("nn.Linear(16 * side * side, 120)", "nn.LazyLinear(120)")],
        [("*pool1,", "nn.Sequential(*pool1),"), ("*pool2,", "nn.Sequential(*pool2),")],
        [(POOL_TABLE, '{"avg": lambda *a: nn.AdaptiveAvgPool2d((None, None)) if 0 else'
          ' nn.LPPool2d(1, 2) if 0 else nn.AvgPool2d(*a), "max": nn.MaxPool2d}')],
        [("return nn.Sequential(", "layers = ["), ("nn.Linear(84, 10),\n        )",
          "nn.Linear(84, 10)]\n        return nn.Sequential(*layers)")],
        # ReLU and max pooling may change places; Flatten and ReLU as well.
        [("nn.ReLU(),\n            *pool2,\n            nn.Flatten(),",
          "*([] if self.pooling == 'max' else [nn.ReLU()]), *pool2, nn.Flatten(),"
          "*([nn.ReLU()] if self.pooling == 'max' else []),")],
    ],
)  # fmt: skip
def test_right_networks_pass(changes, capsys):
    passes(hw7.initialize_network, written(NETWORK, *changes), capsys)


@pytest.mark.parametrize(
    "changes, hint",
    [
        ([without_relu(RELU1)], "ReLU is missing after the first convolution"),
        ([without_relu(RELU2)], "ReLU is missing after the second convolution"),
        ([without_relu(RELU3)], "ReLU is missing after the first fully connected layer"),
        ([without_relu(RELU4)], "ReLU is missing after the second fully connected layer"),
        (
            [without_relu(RELU3), without_relu(RELU4)],
            "missing after the first fully connected layer and the second fully connected",
        ),
        (
            [without_relu(layer) for layer in (RELU1, RELU2, RELU3, RELU4)],
            "missing after the first convolution, .* and the second fully connected layer",
        ),
        ([('"max": nn.MaxPool2d', '"max": nn.AvgPool2d')], "M_max has average pooling in place of "
         "the first and the second max pooling"),
        ([('"avg": nn.AvgPool2d', '"avg": nn.MaxPool2d')], "M_avg has max pooling in place of "
         "the first and the second average pooling"),
        ([(POOL2, "pool2 = [nn.MaxPool2d(2)]")], "M_avg has max pooling in place of the second"),
        ([(POOL1, "pool1 = [nn.AvgPool2d(2)]")], "M_max has average pooling in place of the first"),
        ([("nn.Linear(84, 10),", "nn.Linear(84, 10), nn.Softmax(1),")],
         "a softmax stands at the end"),
        ([("nn.Linear(84, 10),", "nn.Linear(84, 10), nn.LogSoftmax(1),")], "a log-softmax stands"),
        ([("nn.Linear(84, 10),", "nn.Linear(84, 10), nn.ReLU(),")], "a ReLU stands at the end"),
        ([("nn.Linear(84, 10),", "nn.Linear(84, 10), nn.Sigmoid(),")],
         "a sigmoid stands at the end"),
        ([("nn.Linear(84, 10),", "nn.Linear(84, 10), nn.Softmax(0),")], "softmax over the batch"),
        ([("nn.ReLU()", "nn.Sigmoid()")], "a sigmoid stands in place of every ReLU"),
        ([("nn.ReLU()", "nn.Tanh()")], "tanh stands in place of every ReLU"),
        ([("nn.ReLU()", "nn.LeakyReLU()")], "a leaky ReLU stands in place of every ReLU"),
        ([(RELU2, RELU2.replace("ReLU", "GELU"))],
         "GELU stands in place of the ReLU after the second"),
        ([("padding=2", "padding=2, padding_mode='reflect'")], "padding_mode is 'reflect'"),
        ([("Reshape(1, 28, 28),", "Reshape(1, 28, 28), nn.ReLU(),")],
         "ReLU stands before the first"),
        ([("nn.ReLU(),\n            *pool1,", "*pool1, nn.ReLU(),")],
         "the first pooling comes before"),
        ([("nn.ReLU(),\n            *pool2,", "*pool2, nn.ReLU(),")],
         "the second pooling comes before"),
        ([("pool(2, 2)", "pool(1, 2)")],
         "M_avg has a stride of 2.* place of the first and the second"),
        ([("pool(2, 2)", "pool(3, 2, 1)")], "pooling with kernel_size 3"),
        ([(", padding=2", ""), ],
         "256 numbers reach.*the first convolution lacks its padding of 2"),
        ([(", padding=2", ""), ("side = 5 if pool else 24", "side = 4 if pool else 20")],
         "the first convolution lacks its padding of 2"),
        ([("nn.Conv2d(6, 16, 5)", "nn.Conv2d(6, 16, 5, padding=2)")],
         "second convolution has padding"),
        ([(POOL1 + " if pool else []", "pool1 = []")],
         "2304 numbers reach.*first pooling is missing"),
        ([(POOL2 + " if pool else []", "pool2 = []"), ("side = 5", "side = 10")],
         "the second pooling is missing"),
        ([("*pool1,", ""), ("*pool2,", ""), ("5 if pool else 24", "24")],
         "the first pooling is missing and the second pooling is missing"),
        ([("[pool(2, 2)] if pool else []", "[(pool or nn.MaxPool2d)(2)]"),
          ("side = 5 if pool else 24", "side = 5")],
         "M_no.*\n.*\n.*\n.*the first pooling should not be there and the second pooling"),
        ([("side = 5 if pool else 24", "side = 5")],
         "9216 numbers reach.*400 is right only with pooling: "
         "M_no needs in_features = 16 · 24 · 24"),
        ([("side = 5 if pool else 24", "side = 24")],
         "400 numbers reach.*9216 is right only without pooling: "
         "M_avg needs in_features = 16 · 5 · 5"),
        ([("side = 5 if pool else 24", "side = 4 if pool else 20")],
         "in_features=256; M_avg needs in_features = 16 · 5 · 5"),
        ([(POOL1, "pool1 = [pool(2, 1)]")], "1936 .*; the stride of the first pooling is not 2"),
        ([(POOL2, "pool2 = [pool(2, 1)]")], "1296 .*; the stride of the second pooling is not 2"),
        ([("pool(2, 2)", "pool(2, 1)"), ("side = 5", "side = 22")],
         "the stride of the first pooling is not 2 and the stride of the second pooling is not 2"),
        ([("nn.Linear(120, 84),", "nn.Linear(120, 84, bias=False),")],
         "bias=False leaves biases out"),
        ([("nn.Conv2d(1, 6, 5, padding=2)", "nn.Conv2d(1, 6, 3, padding=1)")], "kernel_size is 3"),
        ([("nn.Conv2d(1, 6, 5", "nn.Conv2d(1, 8, 5"), ("nn.Conv2d(6", "nn.Conv2d(8")],
         "has 8 outputs and should have 6"),
        ([("nn.Linear(120, 84)", "nn.Linear(120, 80)"), ("nn.Linear(84", "nn.Linear(80")],
         "has 80 outputs and should have 84"),
        ([("nn.Linear(120, 84),", "nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 84),")],
         "a layer too many"),
        ([("nn.Linear(120, 84),\n            nn.ReLU(),", ""), ("nn.Linear(84", "nn.Linear(120")],
         "a layer is missing"),
        ([("nn.Linear(84, 10)", "nn.Linear(84, 1)")], r"shape \(4, 10\), not \(4, 1\)"),
        ([("side = 5", "self.double(); side = 5"), ("nn.Linear(84, 10),",
          "nn.Linear(84, 10).double(),")], "single and double precision"),
        ([("nn.Flatten(),", "")], r"nn.Flatten\(\) is missing"),
        ([("Reshape(1, 28, 28),", "")], r"the rows need Reshape\(1, 28, 28\) first"),
        ([("nn.Flatten(),", "nn.Flatten(), nn.Dropout(),")], "random numbers, as dropout does"),
        ([(RELU1, RELU1 + "nn.BatchNorm2d(6),")], "BatchNorm2d is not part of this network"),
        ([(RELU1, RELU1 + "nn.BatchNorm2d(6, affine=False),")], "BatchNorm2d is not part"),
        ([("return nn.Sequential", "nn.Sequential")], "the return statement is missing"),
        ([("return nn.Sequential(", "return ["), ("nn.Linear(84, 10),\n        )",
          "nn.Linear(84, 10)]")], "should return an nn.Sequential, not a list"),
        ([without_relu(RELU1), ("nn.Linear(84, 10),", "nn.Linear(84, 10), nn.Softmax(1),")],
         "two: ReLU is missing after the first convolution; and a softmax stands at the end"),
        ([("pool else 24", "poole else 24"), ("side = 5 if", "side = 5 if not")],
         "NameError|UnboundLocalError"),
    ],
)  # fmt: skip
def test_wrong_networks_are_named(changes, hint):
    fails(hw7.initialize_network, written(NETWORK, *changes), hint)


def test_a_network_with_one_wrong_model_earns_what_the_others_are_worth():
    answer = written(NETWORK, ('"max": nn.MaxPool2d', '"max": nn.AvgPool2d'))
    score = checks.score(hw7.initialize_network, answer)
    assert (score.passed, score.total) == (5, 6)
    nothing = """
    class LeNet5(nn.Module):
        def __init__(self, pooling):
            super().__init__()
            self.network = self._initialize_network()
        def _initialize_network(self):
            return nn.Linear(784, 10)
        def forward(self, X):
            return self.network(X)
    """
    assert checks.score(hw7.initialize_network, written(nothing)).passed == 0


@pytest.mark.parametrize("pooling", ["avg", "max", "no"])
def test_planted_networks_differ_from_the_reference_and_each_other(pooling):
    model, X = ReferenceLeNet5(pooling), rows()
    randomize(list(model.parameters()), seed=2)
    weights = [p.detach().double() for p in model.parameters()]
    operations = network_check._operations(weights, pooling)
    right = follow(operations, X.double())
    torch.testing.assert_close(model(X).double(), right, rtol=1e-4, atol=1e-4)
    results = {"": right}
    for words, changes in network_check._planted(pooling):
        logits = follow(operations | changes, X.double())
        for other, value in results.items():
            harmless = pooling == "max" and not other and "comes before ReLU" in words
            if value.shape == logits.shape and not harmless:
                assert (value - logits).abs().max() > 5e-4 * value.abs().max(), (words, other)
        if not (pooling == "max" and "comes before ReLU" in words):
            results[words] = logits


# --- counting

COUNT = """
def multiply_adds(layer, output_shape):
    if isinstance(layer, nn.Conv2d):
        return output_shape.numel() * layer.in_channels * int(np.prod(layer.kernel_size))
    if isinstance(layer, nn.Linear):
        return layer.in_features * layer.out_features
    return 0
"""
CONV = "output_shape.numel() * layer.in_channels * int(np.prod(layer.kernel_size))"
LINEAR = "layer.in_features * layer.out_features"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(CONV, "int(np.prod(output_shape)) * layer.weight[0].numel()"),
         (LINEAR, "layer.weight.numel()")],
        [(CONV, "np.prod(output_shape) * np.prod(layer.weight.shape[1:])")],
        [(CONV, "output_shape[1] * output_shape[2] * layer.weight.numel()")],
        [(CONV, "sum(layer.weight[0].numel() for _ in range(output_shape.numel()))")],
        [("return 0", "return 0.0"), (CONV, f"float({CONV})")],
        [(LINEAR, "int(layer.in_features * np.prod(output_shape))")],
    ],
)  # fmt: skip
def test_right_counts_pass(changes, capsys):
    passes(hw7.multiply_adds, written(COUNT, *changes), capsys)


@pytest.mark.parametrize(
    "changes, hint",
    [
        ([("* layer.in_channels", "")], "in_channels is forgotten"),
        ([("int(np.prod(layer.kernel_size))", "layer.kernel_size[0]")], "one side of the kernel"),
        ([("int(np.prod(layer.kernel_size))", "layer.kernel_size[0]**2")], "taken for a square"),
        ([(CONV, CONV + " + output_shape.numel()")], "the bias is counted"),
        ([(LINEAR, LINEAR + " + layer.out_features")], "the bias is counted"),
        ([(CONV, "2 * " + CONV)], "multiplications and additions are counted apart"),
        ([(LINEAR, "2 * " + LINEAR)], "multiplications and additions are counted apart"),
        ([(LINEAR, "64 * " + LINEAR)], "64 times what it should be"),
        ([("output_shape.numel()", "output_shape[1:].numel()")], "out_channels is forgotten"),
        ([(CONV, "layer.weight.numel()")], "the weights are counted once"),
        ([(CONV, "sum(p.numel() for p in layer.parameters())")], "parameters are counted"),
        ([("output_shape.numel()", "output_shape[1]**2 * layer.out_channels")],
         "taken for a square"),
        ([(CONV, CONV + " * layer.out_channels")], "out_channels is counted twice"),
        ([(CONV, CONV + "* layer.stride[0] * layer.stride[1]")], ""),
        ([(LINEAR, "layer.out_features")], "only the outputs are counted"),
        ([(LINEAR, "layer.in_features + layer.out_features")], "added, not multiplied"),
        ([("return 0", "return output_shape.numel()")], "a layer without weights has none"),
        ([("return 0", "return None")], "returned None"),
        ([("    return 0", "    return layer.weight.numel()")], "a layer without weights has 0"),
        ([("return 0", "return 4 * output_shape.numel() if 'Pool' in type(layer).__name__ else 0")],
         "one for each input is counted"),
        ([("return 0", "return 'nothing'")], "expected numbers, got 'nothing'"),
    ],
)  # fmt: skip
def test_wrong_counts_are_named(changes, hint):
    fails(hw7.multiply_adds, written(COUNT, *changes), hint)


# --- training

TRAIN = """
def train(model, images, labels, batches, *, steps, learning_rate, momentum):
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        indices = batches(step)
        X, y = images[indices].float() / 255, labels[indices]
        loss = F.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""
BY_HAND = """
def train(model, images, labels, batches, *, steps, learning_rate, momentum):
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    losses = []
    for step in range(steps):
        indices = batches(step)
        log_probabilities = model(images[indices] / 255.0).log_softmax(1)
        loss = -log_probabilities[torch.arange(len(indices)), labels[indices]].mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, v, g in zip(model.parameters(), velocity, gradients):
                v.mul_(momentum).add_(g)
                p -= learning_rate * (1 - step / steps) * v
        losses.append(float(loss))
    return losses
"""
SCHEDULER = """
def train(model, images, labels, batches, *, steps, learning_rate, momentum):
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    loss_function, losses = nn.CrossEntropyLoss(), []
    model.train()
    for step in range(steps):
        X = images[batches(step)].to(torch.float32) / 255.0
        optimizer.zero_grad()
        loss = loss_function(model(X), labels[batches(step)])
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return losses
"""
WHOLE_GRAPH = TRAIN.replace("F.cross_entropy(model(X), y)", "F.cross_entropy(model(X), y) + total")
WHOLE_GRAPH = WHOLE_GRAPH.replace("losses = []", "losses, total = [], 0")
WHOLE_GRAPH = WHOLE_GRAPH.replace("        losses.append", "        total = loss; losses.append")
RATE = "(1 - step / steps)"
CALL_BATCHES = r"batches is a function: call batches\(step\)"


@pytest.mark.parametrize(
    "source, changes",
    [
        (TRAIN, []),
        (TRAIN, [("F.cross_entropy(model(X), y)", "F.nll_loss(model(X).log_softmax(1), y)")]),
        (TRAIN, [("        optimizer.zero_grad()\n", ""),
                 ("losses.append", "optimizer.zero_grad()\n        losses.append")]),
        (TRAIN, [("return losses", "return np.array(losses)")]),
        (TRAIN, [("return losses", "model.eval()\n    return losses")]),
        (TRAIN, [("return losses", "return torch.tensor(losses)")]),
        (BY_HAND, []),
        (SCHEDULER, []),
        (SCHEDULER, [("lambda step: 1 - step / steps)", "lambda s: (steps - s) / steps)")]),
        (SCHEDULER, [("LambdaLR(optimizer, lambda step: 1 - step / steps)",
                      "LinearLR(optimizer, 1.0, 0.0, steps)")]),
    ],
)  # fmt: skip
def test_right_training_passes(source, changes, capsys):
    passes(hw7.train, written(source, *changes), capsys)


@pytest.mark.parametrize(
    "source, changes, hint",
    [
        (TRAIN, [("optimizer.zero_grad()", "pass")], r"zero_grad\(\) is missing"),
        (TRAIN, [("optimizer.step()", "pass")], r"optimizer.step\(\) is missing"),
        (TRAIN, [("loss.backward()", "pass")], r"loss.backward\(\) is missing"),
        (TRAIN, [("loss.backward()", "loss.backward(); optimizer.zero_grad()")],
         r"zero_grad\(\) stands between"),
        (TRAIN, [("loss.backward()\n", "optimizer.step(); loss.backward()\n"),
                 ("        optimizer.step()\n", "")],
         r"step\(\)"),
        (TRAIN, [(RATE, "1")], "the learning rate does not fall"),
        (TRAIN, [(RATE, "(1 - (step + 1) / steps)")],
         "falls one step too early: the first step should still use all of it"),
        (TRAIN, [(RATE, "(1 - max(step - 1, 0) / steps)")],
         "falls one step too late: only the first step should use all of it"),
        (TRAIN, [(RATE, "(1 - step / max(steps - 1, 1))")], "divided by steps - 1"),
        (TRAIN, [(RATE, "(1 - step // steps)")], "the learning rate does not fall"),
        (TRAIN, [(RATE, "(1 - 0.5 * step / steps)")], "falls to half of its first value"),
        (TRAIN, [('optimizer.param_groups[0]["lr"] = learning_rate * (1', 
                  'learning_rate *= (1'),
                 ("indices = batches(step)",
                  'indices = batches(step); optimizer.param_groups[0]["lr"] = learning_rate')],
         "each step multiplies the rate of the last"),
        (SCHEDULER, [("optimizer.step()\n        schedule.step()",
                      "schedule.step(); optimizer.step()")],
         "one step too early"),
        (TRAIN, [(", momentum=momentum", "")], "momentum has no effect"),
        (TRAIN, [(", momentum=momentum", ", momentum=0.9")], "momentum"),
        (TRAIN, [("momentum=momentum)", "momentum=momentum, nesterov=momentum > 0)")], "Nesterov"),
        (TRAIN, [("momentum=momentum)", "momentum=momentum, dampening=momentum)")], "dampening"),
        (TRAIN, [("        optimizer.param", "        optimizer = torch.optim.SGD("
                  "model.parameters(), lr=1, momentum=momentum)\n        optimizer.param")],
                   "made anew at each step"),
        (BY_HAND, [("add_(g)", f"add_(learning_rate * {RATE} * g)"),
                   (f"learning_rate * {RATE} * v", "v")],
                    "the learning rate is inside the velocity"),
        (BY_HAND, [("p -=", "p +=")], "the sign of the update is wrong"),
        (TRAIN, [(" / 255", "")], "not divided by 255"),
        (TRAIN, [(" / 255", " / 255 / 255")], "divided by 255 twice"),
        (TRAIN, [(".float() / 255", ".float() / 256")], "divided by 256"),
        (TRAIN, [(".float() / 255", " // 255"), ("model(X)", "model(X.float())")], "whole numbers"),
        (TRAIN, [(".float() / 255", "")], r"bytes \(uint8\)"),
        (TRAIN, [("model(X), y)", "model(X), y, reduction='sum')")],
         "summed, and should be averaged"),
        (TRAIN, [("model(X), y)", "model(X).softmax(1), y)")], "a softmax comes before"),
        (TRAIN, [("F.cross_entropy", "F.nll_loss")], "without a log-softmax"),
        (TRAIN, [("F.cross_entropy(model(X)", "F.nll_loss(model(X).softmax(1)")],
         "logarithm is missing"),
        (TRAIN, [("batches(step)", "batches(0)")], "the batch of step 0"),
        (TRAIN, [("batches(step)", "batches(step + 1)")],
         r"the first step should use batches\(0\)"),
        (TRAIN, [("batches(step)", "batches[step]")], CALL_BATCHES),
        (TRAIN, [("for step in range(steps)", "for step, indices in enumerate(batches)"),
                 ("        indices = batches(step)\n", "")], CALL_BATCHES),
        (TRAIN, [("batches(step)", "batches")], CALL_BATCHES),
        (TRAIN, [("batches(step)", "slice(None)")], "uses all images"),
        (TRAIN, [("batches(step)", "torch.arange(8)")], "uses the first images"),
        (TRAIN, [("batches(step)", "torch.randint(len(images), (8,))")], "batches is never called"),
        (TRAIN, [("labels[indices]", "labels[:len(indices)]")], "need the same indices"),
        (TRAIN, [("range(steps)", "range(steps - 1)")], "no loss is ever appended"),
        (TRAIN, [("range(steps)", "range(steps + 1)")], "one step too many"),
        (TRAIN, [("range(steps)", "range(20)")], "steps says how many"),
        (TRAIN, [("    return losses", "        return losses")], "inside the loop"),
        (TRAIN, [("append(loss.item())", "append(loss)")], r"append loss.item\(\)"),
        (TRAIN, [("return losses", "return losses[-1]")], "one loss is returned"),
        (TRAIN, [("return losses", "pass")], "the return statement is missing"),
        (TRAIN, [("return losses", "return [0.0] * steps")], "nothing but zeros"),
        (TRAIN, [("append(loss.item())", "append(sum(losses) + loss.item())")], ""),
        (TRAIN, [("return losses", "return list(np.cumsum(losses))")], "added up"),
        (TRAIN, [("    losses = []", "    losses = []; model.eval()")], "evaluation mode"),
        (TRAIN, [("    losses = []", "    losses = []; model.eval(); model.requires_grad_(False)")],
         "something cuts the gradient off"),
        (TRAIN, [("model(X)", "model(X).detach()")], "something cuts the gradient off"),
        (TRAIN, [("    optimizer = ",
                  "    import copy; model = copy.deepcopy(model)\n    optimizer = ")],
         "a copy of the network is trained"),
        (TRAIN, [("    losses = []", "    losses = []; images[0] = 0")], "work on a copy"),
        (TRAIN, [("X, y =", "labels[:] = 0; X, y =")], "work on a copy"),
        (TRAIN, [("optimizer.step()", "(optimizer.step() if step < steps - 1 else None)")],
         "the last step does not update"),
        (TRAIN, [("torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)",
                  "torch.optim.Adam(model.parameters(), lr=learning_rate)")], ""),
        (TRAIN, [(", momentum=momentum", ""), (RATE, "1")], "learning rate does not fall"),
        (TRAIN, [(" / 255", ""), ("model(X), y)", "model(X), y, reduction='sum')")],
         "two: the images are not divided by 255; and the losses of the batch are summed"),
        (WHOLE_GRAPH, [], "losses of earlier steps are still part"),
        (TRAIN, [("*, steps", "steps"), (", momentum):", "):")],
         "the arguments are not those that the exercise names"),
    ],
)  # fmt: skip
def test_wrong_training_is_named(source, changes, hint):
    fails(hw7.train, written(source, *changes), hint)


def test_training_that_forgets_momentum_keeps_the_points_of_the_rest():
    score = checks.score(hw7.train, written(TRAIN, (", momentum=momentum", "")))
    assert (score.passed, score.total) == (3, 5)
    assert all("momentum has no effect" in reason for reason in score.reasons)


def test_training_with_a_wrong_loss_keeps_the_points_of_its_updates():
    for change in ((" / 255", ""), ("model(X), y)", "model(X), y, reduction='sum')")):
        score = checks.score(hw7.train, written(TRAIN, change))
        assert (score.passed, score.total) == (3, 5)
    both = written(TRAIN, (" / 255", ""), (", momentum=momentum", ""))
    score = checks.score(hw7.train, both)
    assert score.passed == 2
    assert "two: the images are not divided by 255; and momentum" in score.reasons[1]


def test_planted_rules_differ_from_the_right_one():
    network = training_check.small_networks()["a network with batch normalisation"]
    exercise = training_check.Exercise("a network", network, steps=6, momentum=0.8)
    right, _ = exercise.follow(training_check.Rule())
    for part, mistakes in training_check.MISTAKES.items():
        for words, function in mistakes.items():
            rule = training_check.replace(training_check.Rule(), **{part: function})
            losses, _ = exercise.follow(rule)
            assert not training_check.same(losses, right, 1e-3), words


# --- evaluating

EVALUATE = """
def evaluate(model, images, labels):
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for X, y in zip(images.split(500), labels.split(500)):
            logits = model(X.float() / 255)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(1) == y).sum().item()
    model.train(was_training)
    return loss / len(labels), correct / len(labels)
"""
WHOLE = """
def evaluate(model, images, labels):
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        logits = model(images / 255.0)
        loss = nn.CrossEntropyLoss()(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
    model.train(was_training)
    return loss.item(), accuracy.item()
"""
MEANS = """
def evaluate(model, images, labels):
    was_training = model.training
    model.eval()
    losses, accuracies = [], []
    with torch.no_grad():
        for X, y in zip(images.split(500), labels.split(500)):
            logits = model(X.float() / 255)
            losses.append(F.cross_entropy(logits, y).item())
            accuracies.append((logits.argmax(1) == y).float().mean().item())
    model.train(was_training)
    return np.mean(losses), np.mean(accuracies)
"""


@pytest.mark.parametrize(
    "source, changes",
    [
        (EVALUATE, []),
        (EVALUATE, [("split(500)", "split(16)")]),
        (EVALUATE, [("split(500)", "split(64)"), (".item()", "")]),
        (EVALUATE, [("return loss / len(labels), correct / len(labels)",
                     "return [loss / len(labels), correct / len(labels)]")]),
        (WHOLE, []),
        (WHOLE, [("loss.item(), accuracy.item()", "loss, accuracy")]),
        (WHOLE, [("inference_mode", "no_grad"), ("argmax(dim=1)", "max(1).indices")]),
        (MEANS, [("np.mean(losses), np.mean(accuracies)",
                  "*(np.average(v, weights=[len(y) for y in labels.split(500)])"
                  " for v in (losses, accuracies)),")]),
    ],
)  # fmt: skip
def test_right_evaluation_passes(source, changes, capsys):
    passes(hw7.evaluate, written(source, *changes), capsys)


@pytest.mark.parametrize(
    "source, changes, hint",
    [
        (EVALUATE, [("model.eval()", "pass")], r"model.eval\(\) is missing"),
        (WHOLE, [("model.eval()", "pass")], r"model.eval\(\) is missing"),
        (EVALUATE, [("model.train(was_training)", "pass")], "leaves a network in evaluation mode"),
        (EVALUATE, [("model.train(was_training)", "model.train()")],
         "whatever the mode was before"),
        (EVALUATE, [("torch.no_grad()", "torch.enable_grad()")], r"no_grad\(\) or .* is missing"),
        (WHOLE, [("torch.inference_mode()", "torch.enable_grad()"), ("loss.item()", "loss")],
         r"tensor with gradients\n.*no_grad\(\) is missing"),
        (MEANS, [], "batches of different size have the same weight"),
        (MEANS, [("split(500)", "split(64)")], "batches of different size have the same weight"),
        (EVALUATE, [("correct / len(labels)", "100 * correct / len(labels)")], "per cent"),
        (EVALUATE, [("correct / len(labels)", "correct")], "counted, not their fraction"),
        (EVALUATE, [("correct / len(labels)", "1 - correct / len(labels)")], "fraction of wrong"),
        (EVALUATE, [("correct / len(labels)", "correct // len(labels)")], "whole-number division"),
        (EVALUATE, [("loss / len(labels)", "loss")], "summed, and should be averaged"),
        (EVALUATE, [(', reduction="sum"', "")], "divided by all images|once too often"),
        (EVALUATE, [(" / 255", "")], "not divided by 255"),
        (EVALUATE, [(" / 255", " / 255 / 255")], "divided by 255 twice"),
        (EVALUATE, [("X.float() / 255", "X")], r"bytes \(uint8\)"),
        (EVALUATE, [("argmax", "argmin")], "argmin"),
        (WHOLE, [("argmax(dim=1)", "argmax(dim=0)")], "look at the axis of argmax"),
        (EVALUATE, [("F.cross_entropy(logits", "F.cross_entropy(logits.softmax(1)")],
         "a softmax comes before"),
        (EVALUATE, [("F.cross_entropy(logits", "F.nll_loss(logits.softmax(1)")],
         "logarithm is missing"),
        (EVALUATE, [("F.cross_entropy(", "F.nll_loss(")], "without a log-softmax"),
        (EVALUATE, [("return loss / len(labels), correct / len(labels)",
                     "return correct / len(labels), loss / len(labels)")], "in the wrong order"),
        (EVALUATE, [("in zip(images.split(500), labels.split(500))",
                     "in zip(images.split(30)[:-1], labels.split(30)[:-1])")],
         "the last batch is dropped"),
        (EVALUATE, [("loss += ", "loss = "), ("correct += ", "correct = "), ("500", "25")], ""),
        (WHOLE, [("return loss.item(), accuracy.item()", "return loss.item()")],
         "should return a pair"),
        (WHOLE, [("return loss.item(), accuracy.item()", "pass")],
         "the return statement is missing"),
        (EVALUATE, [("    loss, correct = 0.0, 0", "    loss, correct = 0.0, 0; images.zero_()")],
         "work on a copy"),
    ],
)  # fmt: skip
def test_wrong_evaluation_is_named(source, changes, hint):
    fails(hw7.evaluate, written(source, *changes), hint)


# --- feature maps

NOT_CALLED = r"the slices are not called: network\[:n\]\(X\)"
FEATURES = """
def get_intermediate(model, X):
    convolved = model.network[:2](X)
    pooled = model.network[2:4](convolved)
    return convolved, pooled
"""
BY_LAYER = """
def get_intermediate(model, X):
    outputs = []
    for layer in model.network:
        X = layer(X)
        outputs.append(X)
    return [outputs[1], outputs[3]]
"""
HOOKS = """
def get_intermediate(model, X):
    outputs = []
    hooks = [layer.register_forward_hook(lambda _, X, Y: outputs.append(Y.clone()))
             for layer in (model.network[1], model.network[3])]
    model(X)
    for hook in hooks:
        hook.remove()
    return outputs[0], outputs[1]
"""


@pytest.mark.parametrize(
    "source, changes",
    [
        (FEATURES, []),
        (FEATURES, [("model.network[2:4](convolved)", "model.network[3](convolved.relu())")]),
        (FEATURES, [("model.network[2:4](convolved)", "model.network[:4](X)")]),
        (FEATURES, [("return convolved, pooled", "return convolved.detach(), pooled.detach()")]),
        (BY_LAYER, []),
        (HOOKS, []),
    ],
)
def test_right_features_pass(source, changes, capsys):
    passes(hw7.get_intermediate, written(source, *changes), capsys)


@pytest.mark.parametrize(
    "changes, hint",
    [
        ([("network[:2]", "network[:3]")], r"output of layer 2 \(ReLU\), not of layer 1"),
        ([("network[2:4]", "network[2:3]")], r"output of layer 2 \(ReLU\), not of layer 3"),
        ([("network[2:4]", "network[3:4]")], "without ReLU"),
        ([("network[2:4](convolved)", "network[2:7](convolved)")], r"layer 6 \(AvgPool2d\)"),
        ([("convolved = model.network[:2](X)", "convolved = model.network[:5](X)"),
          ("model.network[2:4](convolved)", "model.network[:7](X)")], r"layer 4 \(Conv2d\)"),
        ([("return convolved, pooled", "return pooled, convolved")], "in the wrong order"),
        ([("return convolved, pooled", "return convolved[-1], pooled[-1]")], "only the last image"),
        ([("return convolved, pooled", "return convolved[:1], pooled[:1]")],
         "only the first image"),
        ([("return convolved, pooled", "return convolved.flatten(1), pooled")], "flattened"),
        ([("return convolved, pooled", "return convolved.mT, pooled.mT")],
         "axes 2 and 3 are swapped"),
        ([("return convolved, pooled", "return convolved.mean(1), pooled")], "averaged"),
        ([("return convolved, pooled", "return convolved")], "one of the two outputs is missing"),
        ([("return convolved, pooled", "pass")], "the return statement is missing"),
        ([("return convolved, pooled",
           "return convolved.detach().numpy(), pooled.detach().numpy()")],
         "turned into arrays too early"),
        ([("model.network[:2](X)", "model.network[1](X)")], "a layer behind Reshape is given the"),
        ([("model.network[:2](X)", "model.network[1:2](X)")], "use slices from the start"),
        ([("model.network[2:4](convolved)", "model.network[3](X)")], "use slices from the start"),
        ([("model.network[2:4](convolved)", "nn.MaxPool2d(2)(X)")], "use slices from the start"),
        ([("model.network[:2](X)", "model.network[:2]"),
          ("model.network[2:4](convolved)", "model.network[:4]")], NOT_CALLED),
        ([("model.network[:2](X)", "model.network[:2]")], NOT_CALLED),
        ([("return convolved, pooled", "return convolved, model.network[:4]")], NOT_CALLED),
        ([("return convolved, pooled", "return model.network[1], model.network[3]")],
         "the layers themselves are returned"),
        ([("model.network[:2]", "model[:2]")], "the layers are in model.network"),
        ([("return convolved, pooled", "return convolved * 0, pooled * 0")], "nothing but zeros"),
        ([("convolved = ", "X.zero_(); convolved = ")], "changes the images"),
        ([("model.network[2:4](convolved)", "F.max_pool2d(convolved.relu(), 2)")], ""),
        ([("return convolved, pooled", "return convolved, pooled.clamp(max=0.1)")], ""),
    ],
)  # fmt: skip
def test_wrong_features_are_named(changes, hint):
    fails(hw7.get_intermediate, written(FEATURES, *changes), hint)


# --- all of them

ALL = {
    "initialize_network": (hw7.initialize_network, NETWORK, "_initialize_network"),
    "multiply_adds": (hw7.multiply_adds, COUNT, "multiply_adds"),
    "train": (hw7.train, TRAIN, "train"),
    "evaluate": (hw7.evaluate, EVALUATE, "evaluate"),
    "get_intermediate": (hw7.get_intermediate, FEATURES, "get_intermediate"),
}


@pytest.fixture(params=list(ALL))
def question(request):
    return ALL[request.param]


STUBS = ("raise NotImplementedError('Write the code.')", "pass", "...", '"""Say."""', "return ...")


@pytest.mark.parametrize("stub", STUBS)
def test_a_stub_gets_one_sentence_and_no_points(question, stub, capsys):
    check, source, name = question
    head = re.search(rf"( *)def {name}.*\n", source)
    body = source[head.end() :].split("\n\n")[0]
    answer = written(source, (body, f"{head[1]}    {stub}\n"))
    with pytest.raises(NotWrittenYet) as caught:
        check(answer)
    assert "is not written yet." in str(caught.value) and "\n" not in str(caught.value)
    assert ("Write the code." in str(caught.value)) == ("Write" in stub)
    assert caught.value._render_traceback_() == [f"… {caught.value}"]
    assert checks.graded(check, answer, 10) == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    "value", ["0", "0.0", "1", "[]", "(0, 0)", "[0.0] * 7", "torch.zeros(3)", "'text'", "object()"]
)
def test_a_constant_earns_nothing(question, value):
    check, _, _ = question
    assert checks.score(check, eval(f"lambda *a, **k: {value}", {"torch": torch})).passed == 0


@pytest.mark.parametrize("value", [None, 3, "train", [], nn.ReLU])
def test_what_is_no_function_is_refused(question, value):
    check, _, _ = question
    with pytest.raises((CheckError, NotWrittenYet)):
        check(value)
    assert checks.score(check, value).passed == 0


def test_an_error_in_the_answer_is_one_sentence_with_its_line(question):
    check, source, name = question
    head = re.search(rf"( *)def {name}.*\n", source)
    answer = written(source, (head[0], f"{head[0]}{head[1]}    nonsense = 1 / 0\n"))
    with pytest.raises(CheckError, match="raised ZeroDivisionError in line") as caught:
        check(answer)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert str(source[: head.end()].count("\n") + 1) in str(caught.value)


def test_a_check_leaves_the_notebook_as_it_was(question, capsys):
    check, source, _ = question
    answer = written(source)

    def settings():
        return (
            torch.rand(3).tolist(),
            np.random.rand(3).tolist(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
        )

    def seeded():
        torch.manual_seed(3)
        np.random.seed(3)

    seeded()
    before = settings()
    seeded()
    check(answer)
    assert settings() == before
    torch.set_default_dtype(torch.float64)
    try:
        check(answer)
        with torch.no_grad(), torch.device("meta"):
            check(answer)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_points_are_given_part_by_part_with_reasons(capsys):
    assert checks.graded(hw7.train, written(TRAIN), 5) == 5
    assert capsys.readouterr().out.count("✓") == 5
    half = written(TRAIN, (", momentum=momentum", ""))
    assert checks.graded(hw7.train, half, 5) == 3
    lines = capsys.readouterr().out
    assert lines.count("✓") == 3 and lines.count("✗") == 2
    assert lines.count("momentum has no effect") == 1 and lines.count("same reason") == 1
    assert lines.endswith("3 of 5 parts: 3 of 5 points\n")
