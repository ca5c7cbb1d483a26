"""The training loop: what it computes, that it repeats itself and survives interruption."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import training
from helpers.progress import JointProgress


def problem(count: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of 6×6 images, each bright in a place of its own, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 60, (count, 1, 6, 6))
    for index, label in enumerate(labels):
        images[index, 0, 2 * label : 2 * label + 2] += 80
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(64, 3),
    )  # fmt: skip


def sgd(model: nn.Module, learning_rate: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)


def shift(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    by = int(torch.randint(-1, 2, (1,), generator=generator))
    return images.roll(by, dims=3)


def run(model: nn.Module, optimizer: torch.optim.Optimizer | None = None, **changes):
    images, labels = problem()
    options = dict(steps=60, batch_size=32, display_every=20, seed=7)
    options |= dict(evaluation={"test": problem(100, seed=1)}) | changes
    return training.train(model, optimizer or sgd(model), images, labels, **options)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_small_problem_is_learned_and_its_history_is_whole():
    model = network()
    history = run(model)
    assert history.steps == [0, 20, 40, 60]
    assert set(history.curves) == {"test_loss", "test_accuracy"}
    assert history.curves["test_loss"][0] == pytest.approx(np.log(3), abs=0.35)
    assert history.final("test_loss") < 0.05
    assert history.final("test_accuracy") > 0.98
    assert history.train_seconds > 0 and history.evaluation_seconds > 0


def test_the_loop_equals_a_loop_written_out():
    """Plain steps on the same batches give the same weights to the last bit."""
    images, labels = problem()
    model = network()
    torch.manual_seed(5)  # dropout
    run(model, steps=15)
    plain, order = network(), training.BatchOrder(400, 32, 7, torch.device("cpu"))
    torch.manual_seed(5)
    optimizer = sgd(plain)
    plain.train()
    for step in range(15):
        X, y = images[order(step)], labels[order(step)]
        loss = F.cross_entropy(plain(X.float() / 255), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(weights(model), weights(plain))


def test_same_seed_same_trajectory_other_seed_another():
    first, second, other = network(), network(), network()
    for model, seed in ((first, 7), (second, 7), (other, 8)):
        torch.manual_seed(5)
        run(model, seed=seed, augment=shift)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_the_seed_decides_the_order_and_the_augmentation_each_by_itself():
    assert not torch.equal(training.BatchOrder(100, 30, 3)(0), training.BatchOrder(100, 30, 4)(0))
    seeds = []

    def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seeds.append(generator.initial_seed())
        return images

    run(network(), steps=1, seed=9, augment=augment)
    assert seeds == [9]


def test_each_epoch_sees_every_image_once_in_a_new_order():
    order = training.BatchOrder(100, 30, 3, torch.device("cpu"))
    row = torch.cat([order(step) for step in range(10)])
    assert all(len(order(step)) == 30 for step in range(10))
    for epoch in range(3):
        assert sorted(row[100 * epoch : 100 * (epoch + 1)].tolist()) == list(range(100))
    assert not torch.equal(row[:100], row[100:200])
    assert torch.equal(order(4), training.BatchOrder(100, 30, 3, torch.device("cpu"))(4))


def test_evaluate_equals_one_pass_and_leaves_the_mode():
    images, labels = problem(130)
    model = network().train()
    loss, accuracy = training.evaluate(model, images, labels, batch_size=32)
    assert model.training
    logits = model.eval()(images.float() / 255)
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert accuracy == (logits.argmax(1) == labels).double().mean().item()


def test_schedule_sets_every_step():
    seen = []
    model = network()
    optimizer = sgd(model)
    step = optimizer.step

    def watched(*arguments):
        seen.append(optimizer.param_groups[0]["lr"])
        return step(*arguments)

    optimizer.step = watched
    run(model, optimizer, steps=5, schedule=lambda t: 0.1 / (1 + t))
    assert seen == [0.1 / (1 + t) for t in range(5)]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
def test_warm_up_before_capture_changes_nothing(kind):
    """A captured step is warmed up first; on the CPU the same warm-up must leave no trace."""
    results = []
    for warm in (False, True):
        model = network()
        optimizer = {
            "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
            "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
            "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
        }[kind](model.parameters())
        images, labels = problem()
        torch.manual_seed(5)
        update = training._Update(
            model, optimizer, images, labels, 32, F.cross_entropy, training.as_float, shift, None,
            torch.Generator().manual_seed(1),
        )  # fmt: skip
        if warm:
            update.warm_up()
        order = training.BatchOrder(400, 32, 7, torch.device("cpu"))
        model.train()
        for step in range(10):
            update(order(step), None)
        state = torch.cat([b.flatten().float() for b in model.buffers()])
        results.append((weights(model), state, update.take_losses(10)))
    for without, with_warm_up in zip(*results, strict=True):
        assert torch.equal(without, with_warm_up)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captured_steps_equal_eager_steps():
    images, labels = (tensor.cuda() for tensor in problem())
    results = []
    for capture in (False, True):
        model = network().cuda()
        model[4].p = 0.0
        update = training._Update(
            model, sgd(model), images, labels, 32, F.cross_entropy, training.as_float, None, None,
            torch.Generator("cuda").manual_seed(1),
        )  # fmt: skip
        if capture:
            update.capture()
        order = training.BatchOrder(400, 32, 7, images.device)
        for step in range(20):
            update(order(step), 0.05 / (1 + step))
        results.append(weights(model).cpu())
    assert torch.allclose(*results, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("where", [0, 7, 30])
def test_a_loss_that_is_not_finite_stops_with_step_and_settings(where):
    calls = []

    def poisoned(logits, y):
        # The evaluation runs without gradients and must not count as a step.
        if torch.is_grad_enabled():
            calls.append(None)
        factor = float("nan") if torch.is_grad_enabled() and len(calls) == where + 1 else 1.0
        return F.cross_entropy(logits, y) * factor

    with pytest.raises(training.TrainingDiverged) as caught:
        run(network(), loss_function=poisoned, name="M_test")
    assert caught.value.step == where
    assert "M_test" in str(caught.value) and f"step {where}" in str(caught.value)
    assert "lr=0.05" in str(caught.value) and "batch_size 32" in str(caught.value)
    assert caught.value.history.steps == [s for s in (0, 20, 40) if s <= where]


def test_a_learning_rate_that_explodes_is_noticed():
    with pytest.raises(training.TrainingDiverged, match="smaller learning rate"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), nn.Linear(64, 3))
        run(model, sgd(model, 1e12), steps=200)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"batch_size": 401}, "batch_size = 401"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"steps": 0}, "steps = 0"),
        ({"display_every": 0}, "display_every = 0"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        run(network(), **changes)


def test_images_and_labels_of_different_length_are_named():
    images, labels = problem()
    model = network()
    with pytest.raises(ValueError, match="400 images but 399 labels"):
        training.train(
            model, sgd(model), images, labels[1:], steps=1, batch_size=8, display_every=1, seed=0,
            evaluation={},
        )  # fmt: skip


def test_own_measures_take_the_place_of_loss_and_accuracy():
    @torch.no_grad()
    def measure(model, images, labels):
        return {"images": len(images), "spread": float(model(images.float()).std())}

    history = run(network(), measure=measure)
    assert sorted(history.curves) == ["test_images", "test_spread"]
    assert history.curves["test_images"] == [100] * 4
    assert len(set(history.curves["test_spread"])) == 4


@pytest.mark.parametrize("steps, shown", [(50, [0, 20, 40, 50]), (40, [0, 20, 40]), (7, [0, 7])])
def test_the_last_step_is_evaluated_once_and_with_the_last_weights(steps, shown):
    model = network()
    history = run(model, steps=steps)
    assert history.steps == shown
    loss, accuracy = training.evaluate(model, *problem(100, seed=1))
    assert history.final("test_loss") == loss and history.final("test_accuracy") == accuracy
    assert len(history.curves["test_loss"]) == len(shown)


@pytest.mark.parametrize("autocast, expected", [(None, torch.float32), (torch.bfloat16,) * 2])
def test_autocast_is_the_precision_of_training_and_of_nothing_else(autocast, expected):
    seen = {True: set(), False: set()}

    def loss_function(logits, y):
        seen[torch.is_grad_enabled()].add(logits.dtype)
        return F.cross_entropy(logits, y)

    model = network()
    run(model, steps=3, autocast=autocast, loss_function=loss_function)
    assert seen == {True: {expected}, False: {torch.float32}}
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_the_loss_of_every_step_is_kept_and_progress_can_be_shared(capsys):
    whole = JointProgress("two trainings", 40)
    losses = [run(network(), steps=20, progress=whole.piece()).losses for _ in range(2)]
    assert losses[0] == losses[1] and len(losses[0]) == 20
    assert losses[0][-1] < losses[0][0]
    assert "two trainings: 40 steps" in capsys.readouterr().out
