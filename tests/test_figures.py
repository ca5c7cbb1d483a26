"""Figures are opaque and whole; tables escape what they are given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import figures


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        mpl.use("agg")
        figures.use_style()
        yield
        plt.close("all")


def pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_backgrounds_are_opaque_white():
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    image = pixels(figure)
    assert (image[..., 3] == 255).all()
    assert (image[0, 0] == 255).all()


def test_curves_differ_in_colour_and_style():
    _, ax = plt.subplots()
    figures.curves(ax, range(9), {"train": range(9), "test": range(9)}, xlabel="x", ylabel="y")
    first, second = ax.lines
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["train", "test"]
    assert ax.get_xlabel() == "x" and ax.get_ylabel() == "y"


def test_a_single_point_is_visible():
    figure, ax = plt.subplots()
    figures.curves(ax, [0], {"train": [1.0]}, xlabel="x", ylabel="y")
    ax.get_legend().remove()
    assert ax.lines[0].get_marker() == "o"


def test_image_grid_shares_one_scale():
    figure = figures.image_grid(np.arange(12.0).reshape(3, 2, 2), ["a", "b", "c"], columns=2)
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    assert limits == {(0.0, 11.0)}
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", ""]
    signed = figures.image_grid(np.array([[[-3.0, 1.0]]]), columns=1, symmetric=True)
    assert signed.axes[0].images[0].get_clim() == (-3.0, 3.0)
    with pytest.raises(ValueError, match="at least one image"):
        figures.image_grid(np.zeros((0, 2, 2)), columns=2)


def test_confusion_matrix_shows_every_count():
    matrix = np.array([[50, 2], [0, 60]])
    figure = figures.confusion_matrix(matrix, ["cat", "dog"])
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["50", "2", "0", "60"]


def test_ten_classes_have_ten_looks():
    _, ax = plt.subplots()
    points, labels = np.random.default_rng(0).random((50, 2)), np.arange(50) % 10
    figures.scatter_classes(ax, points, labels, [str(i) for i in range(10)])
    looks = {
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections
    }
    assert len(looks) == 10
    assert sum(len(c.get_offsets()) for c in ax.collections) == 50


def test_table_escapes_and_keeps_order(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, raw: shown.append(data))
    figures.table([{"model": "a<b", "n": 1}, {"model": "c"}], caption="x & y")
    html = shown[0]["text/html"]
    assert "a&lt;b" in html and "x &amp; y" in html
    assert html.index("model") < html.index(">n<")
    assert html.count("<tr>") == 3
    with pytest.raises(ValueError, match="at least one row"):
        figures.table([])
