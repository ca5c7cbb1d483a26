"""The training loop of every PyTorch notebook: data resident on the device, batches by index.

Images stay on the device as they were read (uint8) and each batch is taken by index, so that no
step waits for Python to decode or collate images. On a CUDA device the whole step (gather,
augmentation, forward, backward, update) is captured once as a CUDA graph and replayed: networks
of LeNet's size are bound by kernel launches, not by arithmetic.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import checkpoints
from helpers.checkpoints import Checkpoint
from helpers.checkpoints import remove_checkpoints as remove_checkpoints
from helpers.checkpoints import save_atomically as save_atomically
from helpers.errors import ReaderError
from helpers.fingerprints import Reader, Unreadable
from helpers.progress import Piece, Progress
from helpers.runtime import Stopwatch

LossFunction = Callable[[Tensor, Tensor], Tensor]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]
Schedule = Callable[[int], float]
Measure = Callable[[nn.Module, Tensor, Tensor], Mapping[str, float]]

# A loss that stopped being finite is noticed after at most this many steps: to look at every loss
# would make the host wait for the device at every step.
STEPS_BETWEEN_LOOKS = 500
WARM_UP_STEPS = 3


@dataclass
class History:
    """What `train` saw.

    `steps` are the display steps, and `curves` maps "<set>_loss" and "<set>_accuracy" to one value
    for each of them (accuracies are fractions of 1). `losses` are those of the training batches,
    one for each gradient step. Times are in seconds: `train_seconds` for the gradient steps,
    `evaluation_seconds` for the display steps, `setup_seconds` for capturing.
    """

    steps: list[int] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    setup_seconds: float = 0.0

    def final(self, curve: str) -> float:
        """Return the last value of a curve, e.g. `final("test_accuracy")`."""
        return self.curves[curve][-1]


class TrainingDiverged(ReaderError, RuntimeError):
    """The training loss stopped being finite at step `step`; `history` holds what came before."""

    def __init__(self, name: str, step: int, loss: float, settings: str, history: History):
        super().__init__(
            f"{name}: the loss became {loss} at step {step} with {settings}; "
            "a smaller learning rate is the usual cure."
        )
        self.step = step
        self.history = history
        self._made_of = name, step, loss, settings, history

    def __reduce__(self) -> tuple:
        """Let it come back from another process, where an exception is made anew."""
        return type(self), self._made_of


def as_float(images: Tensor) -> Tensor:
    """Map a uint8 batch in 0…255 to float32 in 0…1, of the same shape."""
    return images.float().div_(255)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    loss_function: LossFunction = F.cross_entropy,
    preprocess: Callable[[Tensor], Tensor] = as_float,
    batch_size: int | None = None,
) -> tuple[float, float]:
    """Return the mean loss and the accuracy (a fraction of 1) of `model` in evaluation mode.

    `images` has shape `[n, …]` and `labels` `[n]`, both on the model's device; the model maps a
    preprocessed batch to logits `[batch, classes]`. The model's mode is left as it was.
    """
    batch_size = batch_size or (10_000 if images.is_cuda else 500)
    was_training = model.training
    model.eval()
    # Summed on the device: reading each batch's result would make the host wait for it.
    loss_sum = torch.zeros((), dtype=torch.float64, device=images.device)
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    for X, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        logits = model(preprocess(X))
        loss_sum += loss_function(logits, y).double() * len(y)
        correct += (logits.argmax(1) == y).sum()
    model.train(was_training)
    return loss_sum.item() / len(labels), correct.item() / len(labels)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int,
    batch_size: int,
    display_every: int,
    seed: int,
    evaluation: Mapping[str, tuple[Tensor, Tensor]],
    name: str = "training",
    schedule: Schedule | None = None,
    loss_function: LossFunction = F.cross_entropy,
    preprocess: Callable[[Tensor], Tensor] = as_float,
    augment: Augmentation | None = None,
    autocast: torch.dtype | None = None,
    measure: Measure | None = None,
    checkpoint_folder: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Progress | Piece | None = None,
) -> History:
    """Train `model` in place for `steps` gradient steps and return its `History`.

    `images` `[n, …]` and `labels` `[n]` live on the model's device. Batches run through a fresh
    permutation of the data in every epoch, on across the borders of epochs, so that each has
    `batch_size` images. `evaluation` maps the name of a set to its `(images, labels)`; loss and
    accuracy of each are taken before the first step, every `display_every` steps and at the end;
    or, with `measure`, whatever that returns for the model and a set, by name.

    `schedule` gives the learning rate of step 0, 1, …; without it the optimizer's own stays.
    `augment` changes a raw training batch, drawing from the generator it is given; `preprocess`
    turns a raw batch into the model's input. `autocast` is the dtype of mixed precision.
    `seed` fixes order and augmentation (initialisation is the model's own). `progress` is told how
    far the training is; without it, the training has a line of its own.

    With `checkpoint_folder`, progress is saved there every `checkpoint_seconds`, in a file that
    belongs to this training: to its code, data, settings, random state and first step. When its
    process is gone before `remove_checkpoints` was called, the same training in another process
    says so and goes on from the file, to the very result of an uninterrupted run; a training that
    was whole is taken over whole. In the process that finished it, a training trains again. One
    that could not go on to the same result says why and trains without checkpoints, and so does
    one whose file another process holds.

    Raises `ValueError` for arguments that do not fit each other, `TrainingDiverged` as soon as a
    loss that is not finite is noticed, and `CheckpointError` for a checkpoint that cannot be read
    or written.
    """
    _validate(images, labels, steps, batch_size, display_every)
    if measure is None:

        def measure(model: nn.Module, X: Tensor, y: Tensor) -> Mapping[str, float]:
            values = evaluate(model, X, y, loss_function=loss_function, preprocess=preprocess)
            return dict(zip(("loss", "accuracy"), values, strict=True))

    device = images.device
    settings = {
        "steps": steps,
        "batch_size": batch_size,
        "display_every": display_every,
        "seed": seed,
        "optimizer": _describe(optimizer),
    }
    history = History()
    update = _Update(
        model, optimizer, images, labels, batch_size, loss_function, preprocess, augment, autocast,
        torch.Generator(device).manual_seed(seed),
    )  # fmt: skip
    order = BatchOrder(len(labels), batch_size, seed, device)
    checkpoint, step = None, 0
    if checkpoint_folder is not None:
        mark = _fingerprint(update, order, settings, schedule, evaluation, measure, name)
        checkpoint = mark and _hold(checkpoint_folder, name, mark)
    if checkpoint is not None:
        step = _take_up(checkpoint, update, history, name, steps)
        checkpoint.start_clock(checkpoint_seconds)

    if device.type == "cuda":
        with Stopwatch(device) as setup:
            update.capture()
        history.setup_seconds += setup.seconds

    if progress is None:
        progress = Progress(name, steps, done=step)
    else:
        progress.update(step)  # what a checkpoint had brought

    def display_step() -> None:
        with Stopwatch(device) as watch:
            history.steps.append(step)
            for key, (X, y) in evaluation.items():
                for what, value in measure(model, X, y).items():
                    history.curves.setdefault(f"{key}_{what}", []).append(value)
        history.evaluation_seconds += watch.seconds

    if not history.steps:
        display_step()
    while step < steps:
        next_display = (step // display_every + 1) * display_every
        stop = min(steps, next_display, step + STEPS_BETWEEN_LOOKS)
        model.train()
        with Stopwatch(device) as watch:
            for t in range(step, stop):
                update(order(t), None if schedule is None else schedule(t))
                if checkpoint is not None and checkpoint.is_due():
                    stop = t + 1
                    break
            losses = update.take_losses(stop - step)
        history.train_seconds += watch.seconds
        bad = torch.nonzero(~losses.isfinite())
        if len(bad):
            first = int(bad[0])
            described = ", ".join(f"{key} {value}" for key, value in settings.items())
            raise TrainingDiverged(name, step + first, losses[first].item(), described, history)
        history.losses += losses.tolist()
        step = stop
        if step % display_every == 0 or step == steps:
            display_step()
        if checkpoint is not None and (checkpoint.is_due() or step == steps):
            checkpoint.save(_content(step, update, history))
        progress.update(step, f"loss {losses.mean().item():.4f}")
    if checkpoint is not None:
        checkpoint.complete = True
    progress.finish(
        f"{steps:,} steps, {history.train_seconds:.1f} s of training and "
        f"{history.evaluation_seconds:.1f} s of evaluation"
    )
    return history


class BatchOrder:
    """The order in which `train` takes the images: `order(step)` are the indices of a batch.

    `BatchOrder(count, batch_size, seed, device)` cuts one endless row of permutations of
    0 … `count` - 1 into pieces of `batch_size`, across the borders of epochs. For step 0, 1, … it
    returns int64 indices `[batch_size]` on `device`. The permutation of an epoch follows from the
    seed and its number alone, so that a loop of one's own takes the same batches as `train`, and a
    resumed run finds its place without a state.
    """

    def __init__(self, count: int, batch_size: int, seed: int, device: torch.device | str = "cpu"):
        self.count, self.batch_size, self.seed, self.device = count, batch_size, seed, device
        self._known: dict[int, Tensor] = {}

    def __call__(self, step: int) -> Tensor:
        epoch, start = divmod(step * self.batch_size, self.count)
        stop = start + self.batch_size
        if stop <= self.count:
            return self._permutation(epoch)[start:stop]
        rest = self._permutation(epoch)[start:], self._permutation(epoch + 1)[: stop - self.count]
        return torch.cat(rest)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._known:
            state = np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(state[0]) >> 1)
            permutation = torch.randperm(self.count, generator=generator).to(self.device)
            self._known = {key: self._known[key] for key in self._known if key == epoch - 1}
            self._known[epoch] = permutation
        return self._known[epoch]


class _Update:
    """One gradient step on the batch with the given indices; on CUDA a replay of a captured one."""

    def __init__(
        self, model, optimizer, images, labels, batch_size, loss_function, preprocess, augment,
        autocast, generator,
    ):  # fmt: skip
        self.model, self.optimizer = model, optimizer
        self.images, self.labels = images, labels
        self.loss_function, self.preprocess, self.augment = loss_function, preprocess, augment
        self.autocast, self.generator = autocast, generator
        device = images.device
        # What a captured step reads and writes must stay at one place in memory.
        self.indices = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.losses = torch.zeros(STEPS_BETWEEN_LOOKS, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.graph = None

    def __call__(self, indices: Tensor, learning_rate: float | None) -> None:
        self.indices.copy_(indices)
        if learning_rate is not None:
            self.set_learning_rate(learning_rate)
        self.step() if self.graph is None else self.graph.replay()

    def step(self) -> None:
        X, y = self.images[self.indices], self.labels[self.indices]
        if self.augment is not None:
            X = self.augment(X, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        with self.mixed_precision():
            loss = self.loss_function(self.model(self.preprocess(X)), y)
        loss.backward()
        self.optimizer.step()
        self.losses.index_copy_(0, self.position, loss.detach().float().view(1))
        self.position += 1

    def mixed_precision(self) -> AbstractContextManager:
        if self.autocast is None:
            return nullcontext()
        # Casts must not be cached across steps: a graph would replay those of the captured one.
        return torch.autocast(self.images.device.type, self.autocast, cache_enabled=False)

    def set_learning_rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value

    def take_losses(self, count: int) -> Tensor:
        """Return the losses of the last `count` steps and start their list afresh."""
        losses = self.losses[:count].cpu()
        self.position.zero_()
        return losses

    def warm_up(self) -> None:
        """Run a few steps and undo them: kernels are chosen, buffers exist, nothing has changed."""
        was_there = [(tensor, tensor.clone()) for tensor in self._state()]
        known = {id(tensor) for tensor, _ in was_there}
        random_state = self.generator.get_state(), checkpoints.random_states(self.images.device)
        self.model.train()
        for _ in range(WARM_UP_STEPS):
            self.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for tensor, before in was_there:
                tensor.copy_(before)
            for tensor in self._state():
                if id(tensor) not in known:
                    # Zero is how the optimizers of torch begin their averages and counts.
                    tensor.zero_()
        self.position.zero_()
        self.generator.set_state(random_state[0])
        checkpoints.set_random_states(self.images.device, random_state[1])

    def capture(self) -> None:
        """Record the step as a CUDA graph whose learning rate can still be set."""
        for group in self.optimizer.param_groups:
            # Made anew also if it is a tensor: one that a checkpoint brought lies on the CPU.
            group["lr"] = torch.tensor(float(group["lr"]), device=self.images.device)
            if "capturable" in group:
                group["capturable"] = True
            elif "fused" in group:
                # SGD has no capturable form; its fused one takes the learning rate as a tensor.
                group["fused"], group["foreach"] = True, False
        stream = torch.cuda.Stream(self.images.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.warm_up()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        if self.augment is not None:
            graph.register_generator_state(self.generator)
        self.model.train()
        with torch.cuda.graph(graph):
            self.step()
        self.graph = graph

    def _state(self) -> list[Tensor]:
        tensors = [*self.model.parameters(), *self.model.buffers()]
        for values in self.optimizer.state.values():
            tensors += [value for value in values.values() if isinstance(value, Tensor)]
        return tensors


def _validate(
    images: Tensor, labels: Tensor, steps: int, batch_size: int, display_every: int
) -> None:
    if len(images) != len(labels):
        raise ValueError(f"there are {len(images)} images but {len(labels)} labels")
    if not 1 <= batch_size <= len(labels):
        raise ValueError(f"batch_size = {batch_size}: it must be between 1 and {len(labels)}")
    for name, value in (("steps", steps), ("display_every", display_every)):
        if value < 1:
            raise ValueError(f"{name} = {value}: it must be at least 1")


def _describe(optimizer: torch.optim.Optimizer) -> str:
    shown = ("lr", "learning_rates", "momentum", "nesterov", "betas", "alpha", "weight_decay")
    groups = (
        ", ".join(f"{key}={group[key]}" for key in shown if key in group)
        for group in optimizer.param_groups
    )
    return f"{type(optimizer).__name__}({'; '.join(groups)})"


def _fingerprint(
    update: "_Update",
    order: BatchOrder,
    settings: Mapping[str, object],
    schedule: Schedule | None,
    evaluation: Mapping[str, tuple[Tensor, Tensor]],
    measure: Measure,
    name: str,
) -> str | None:
    """Return the fingerprint of a training; None, having said why, if it cannot be resumed."""
    model, optimizer, images, labels = update.model, update.optimizer, update.images, update.labels

    def take_first_step() -> object:
        rates = [None if schedule is None else float(schedule(t)) for t in range(settings["steps"])]
        update(order(0), rates[0])
        gradients = [parameter.grad for parameter in model.parameters()]
        tensors = [*model.parameters(), *model.buffers()]
        return rates, update.take_losses(1), gradients, tensors, optimizer.state

    parts = {
        "helpers.training": [_Update, BatchOrder, evaluate, train.__code__],
        "settings": [settings, update.autocast],
        "environment": checkpoints.environment(images.device),
        "training data": [images, labels],
        "evaluation data": evaluation,
        "model": model,
        "optimizer": optimizer,
        "loss function": update.loss_function,
        "preprocessing": update.preprocess,
        "augmentation": [update.augment, update.generator],
        "schedule": schedule,
        "measure": measure,
    }
    data = [images, labels, *(tensor for pair in evaluation.values() for tensor in pair)]
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        return checkpoints.fingerprint(
            parts, data=data, saved=_saved(update), device=images.device, take_step=take_first_step
        )
    except (checkpoints.NotResumable, Unreadable) as reason:
        print(f"{name}: trained without checkpoints, because {reason}", flush=True)
        return None
    finally:
        for module, mode in modes:
            module.training = mode


def _saved(update: "_Update") -> list[object]:
    """Return the objects that are brought back by what `_content` holds."""
    model, optimizer = update.model, update.optimizer
    held = Reader()
    for module in model.modules():
        held.digest([module._parameters, module._buffers])
    # Not what is looked up by them, parameters: the optimizer may have some that the model has not.
    held.digest(list(optimizer.state.values()))
    for group in optimizer.param_groups:
        held.digest([value for key, value in group.items() if key != "params"])
    containers = [optimizer.state, optimizer.param_groups, *optimizer.param_groups]
    return [*held.objects, *containers, update.generator]


def _hold(folder: str | Path, name: str, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint of a training; None, having said why, if another process has it."""
    checkpoint = checkpoints.hold(folder, name, fingerprint)
    if checkpoint is None:
        print(
            f"{name}: trained without checkpoints, because another process holds that of the "
            f"same training in {folder}",
            flush=True,
        )
    return checkpoint


def _content(step: int, update: "_Update", history: History) -> dict[str, object]:
    return {
        "step": step,
        "model": update.model.state_dict(),
        # Also those that the network keeps out of its state_dict.
        "buffers": dict(update.model.named_buffers()),
        "optimizer": update.optimizer.state_dict(),
        "generator": update.generator.get_state(),
        "random": checkpoints.random_states(update.images.device),
        "history": asdict(history),
    }


def _take_up(
    checkpoint: Checkpoint, update: "_Update", history: History, name: str, steps: int
) -> int:
    """Bring everything to where the checkpoint was saved, say so, and return the step.

    Without a saved state, that is step 0.
    """
    content = checkpoint.load()
    if content is None:
        return 0
    update.model.train()
    update.model.load_state_dict(content["model"])
    with torch.no_grad():
        for key, buffer in update.model.named_buffers():
            buffer.copy_(content["buffers"][key])
    update.optimizer.load_state_dict(content["optimizer"])
    update.generator.set_state(content["generator"])
    checkpoints.set_random_states(update.images.device, content["random"])
    history.__dict__.update(content["history"])
    step = content["step"]
    how = "taken over whole from" if step == steps else f"goes on from step {step:,} of {steps:,},"
    print(f"{name}: {how} {checkpoint.path}; delete this file to train from the start", flush=True)
    return step
