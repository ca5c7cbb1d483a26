"""im2col, the convolution and finite differences against PyTorch in float64 and plain loops."""

import numpy as np
import pytest
import torch

from helpers import numpy_layers as nl


def random_geometries(count, seed):
    """Return tuples of channels, filters, height, width, batch, kernel, stride and padding."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        kernel = tuple(int(v) for v in rng.integers(1, 5, 2))
        stride = tuple(int(v) for v in rng.integers(1, 4, 2))
        padding = tuple(int(v) for v in rng.integers(0, 4, 2))
        steps = rng.integers(0, 4, 2)
        size = [
            k + s * int(n) - 2 * p
            for k, s, n, p in zip(kernel, stride, steps, padding, strict=True)
        ]
        if min(size) >= 1:
            channels, filters, batch = (int(v) for v in rng.integers(1, 5, 3))
            found.append((channels, filters, *size, batch, kernel, stride, padding))
    return found


@pytest.mark.parametrize("geometry", random_geometries(60, 1), ids=str)
def test_convolution_equals_pytorch(geometry):
    channels, filters, height, width, batch, kernel, stride, padding = geometry
    rng = np.random.default_rng(2)
    x = rng.normal(size=(channels, height, width, batch))
    w = rng.normal(size=(filters, channels, *kernel))
    b = rng.normal(size=filters)

    y, columns = nl.convolution_forward(x, w, b, stride, padding)
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (nl.batch_first(x), w, b))
    ty = torch.nn.functional.conv2d(tx, tw, tb, stride=stride, padding=padding)
    np.testing.assert_allclose(nl.batch_first(y), ty.detach(), rtol=1e-9, atol=1e-9)

    dy = rng.normal(size=y.shape)
    ty.backward(torch.tensor(nl.batch_first(dy)))
    dx, dw, db = nl.convolution_backward(dy, columns, w, x.shape, stride, padding)
    np.testing.assert_allclose(nl.batch_first(dx), tx.grad, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dw, tw.grad, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(db, tb.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("geometry", random_geometries(20, 3), ids=str)
def test_col2im_is_the_transpose_of_im2col(geometry):
    channels, _, height, width, batch, kernel, stride, padding = geometry
    rng = np.random.default_rng(4)
    x = rng.normal(size=(channels, height, width, batch))
    columns = nl.im2col(x, kernel, stride, padding)
    other = rng.normal(size=columns.shape)
    back = nl.col2im(other, x.shape, kernel, stride, padding)
    assert back.shape == x.shape
    assert np.vdot(columns, other) == pytest.approx(np.vdot(x, back), rel=1e-12, abs=1e-12)


def test_im2col_has_the_documented_order():
    x = np.arange(2 * 3 * 4 * 2, dtype=float).reshape(2, 3, 4, 2)
    columns = nl.im2col(x, (2, 3)).reshape(2, 2, 3, 2, 2, 2)
    for channel, row, column, i, j, image in np.ndindex(columns.shape):
        expected = x[channel, i + row, j + column, image]
        assert columns[channel, row, column, i, j, image] == expected


def test_float32_stays_float32():
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((2, 5, 5, 3), (4, 2, 3, 3)))
    y, columns = nl.convolution_forward(x, w, np.zeros(4, np.float32), 2, 1)
    gradients = nl.convolution_backward(y, columns, w, x.shape, 2, 1)
    assert {a.dtype for a in (y, columns, *gradients)} == {np.dtype(np.float32)}


def test_the_layouts_turn_into_each_other():
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    assert nl.batch_last(x).shape == (2, 3, 4, 5)
    assert nl.batch_last(x).flags.c_contiguous
    np.testing.assert_array_equal(nl.batch_first(nl.batch_last(x)), x)
    with pytest.raises(ValueError, match="four axes"):
        nl.batch_last(x[0])


def test_finite_difference_of_a_known_function():
    x = np.random.default_rng(0).normal(size=(3, 2))
    before = x.copy()
    gradient = nl.finite_difference(lambda: float(np.sum(x**3)), x)
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(x, before)
    with pytest.raises(ValueError, match="float64"):
        nl.finite_difference(lambda: 0.0, x.astype(np.float32))


def test_finite_difference_sees_a_wrong_gradient_of_the_convolution():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 5, 4, 2)), rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)
    dy = rng.normal(size=(3, 3, 3, 2))

    def loss():
        return float(np.sum(dy * nl.convolution_forward(x, w, b)[0]))

    columns = nl.convolution_forward(x, w, b)[1]
    dx, dw, db = nl.convolution_backward(dy, columns, w, x.shape)
    for array, right in ((x, dx), (w, dw), (b, db)):
        approx = nl.finite_difference(loss, array)
        np.testing.assert_allclose(approx, right, rtol=1e-6, atol=1e-7)
        assert not np.allclose(approx, 1.01 * right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 5), 4), "height 4 over an input of height 3 with padding 0 does not fit"),
        (((5, 5), 2, 2), r"\(5 \+ 2·0 - 2\) must be a multiple of 2"),
        (((5, 5), 0), "kernel_size must be a whole number of at least 1"),
        (((5, 5), 2, 1.0), "stride must be a whole number"),
        (((5, 5), 2, 1, -1), "padding must be a whole number of at least 0"),
        (((5, 5), (1, 2, 3)), "kernel_size must be"),
    ],
)
def test_impossible_geometry_is_named(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        nl.output_size(*arguments, layer="pooling layer")
    assert str(error.value).startswith("pooling layer: ")


def test_wrong_arrays_are_named():
    x, w, b = np.zeros((2, 4, 4, 3)), np.zeros((5, 2, 3, 3)), np.zeros(5)
    y, columns = nl.convolution_forward(x, w, b)
    for arguments, message in [
        ((x[0], w, b), r"\[channels, height, width, batch\].*\(4, 4, 3\)"),
        ((x[..., :0], w, b), "non-empty"),
        ((x.astype(int), w, b), "floating-point"),
        ((x, w[:, :1], b), r"images of 2 channels.*\(5, 1, 3, 3\)"),
        ((x, w, b[:2]), "each of 5 filters"),
        ((x + np.nan, w, b), "96 of 96 numbers.*finite"),
        ((np.where(np.arange(96).reshape(x.shape) == 7, np.inf, x), w, b), "1 of 96"),
    ]:
        with pytest.raises(ValueError, match=message):
            nl.convolution_forward(*arguments)
    with pytest.raises(ValueError, match="does not belong to"):
        nl.convolution_backward_parameters(y[..., :2], columns, w)
    with pytest.raises(ValueError, match="d_outputs must be"):
        nl.convolution_backward_images(y[:3], w, x.shape)
    with pytest.raises(ValueError, match="col2im: needs columns"):
        nl.col2im(columns[:, :-1], x.shape, 3)
