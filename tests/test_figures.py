"""Figures are opaque and whole; tables escape what they are given."""

import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

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


def test_the_legend_of_curves_names_the_line_that_holds_the_values():
    _, ax = plt.subplots()
    series = {str(number): [number, number + 0.5] for number in range(10)}
    figures.curves(ax, [3, 7], series, xlabel="x", ylabel="y", title="ten", log=True)
    entries = ax.get_legend()
    assert [text.get_text() for text in entries.texts] == list(series)
    for name, line, handle in zip(series, ax.lines, entries.legend_handles, strict=True):
        assert line.get_xdata().tolist() == [3, 7] and line.get_ydata().tolist() == series[name]
        for look in ("get_color", "get_linestyle", "get_marker"):
            assert getattr(handle, look)() == getattr(line, look)()
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 8
    assert len({(line.get_color(), line.get_marker()) for line in ax.lines}) == 10
    assert ax.get_yscale() == "log" and ax.get_title() == "ten"


@pytest.mark.parametrize("points, marked", [(7, True), (8, False)])
def test_few_points_are_marked(points, marked):
    _, ax = plt.subplots()
    figures.curves(ax, range(points), {"train": range(points)}, xlabel="x", ylabel="y")
    assert (ax.lines[0].get_marker() == "o") == marked
    assert ax.get_yscale() == "linear"


def test_image_grid_shares_one_scale():
    figure = figures.image_grid(np.arange(12.0).reshape(3, 2, 2), ["a", "b", "c"], columns=2)
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    assert limits == {(0.0, 11.0)}
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", ""]
    signed = figures.image_grid(np.array([[[-3.0, 1.0]]]), columns=1, symmetric=True)
    assert signed.axes[0].images[0].get_clim() == (-3.0, 3.0)
    with pytest.raises(ValueError, match="at least one image"):
        figures.image_grid(np.zeros((0, 2, 2)), columns=2)


def test_image_grid_puts_each_image_under_its_title():
    images = np.arange(5 * 6.0).reshape(5, 2, 3)
    figure = figures.image_grid(images, list("abcde"), columns=3, title="five", size=2)
    shown = [ax for ax in figure.axes if ax.images]
    assert len(figure.axes) == 6 and [ax.get_title() for ax in shown] == list("abcde")
    for ax, image in zip(shown, images, strict=True):
        assert np.array_equal(ax.images[0].get_array(), image)
        assert ax.get_subplotspec().colspan.start == list("abcde").index(ax.get_title()) % 3
    assert not any(ax.axison for ax in figure.axes)
    assert figure.get_suptitle() == "five"
    assert figure.get_size_inches()[0] == 6


CLASSES = ["cat", "dog", "frog"]
MATRIX = np.array([[500, 2, 0], [7, 600, 0], [1, 10, 700]])  # row by row the true classes


def test_confusion_matrix_has_true_classes_in_rows_and_predicted_ones_in_columns():
    (ax, _) = figures.confusion_matrix(MATRIX, CLASSES, title="errors").axes
    assert ax.get_ylabel() == "true class" and ax.get_xlabel() == "predicted class"
    assert ax.get_title() == "errors"
    for axis in (ax.xaxis, ax.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == CLASSES
        assert axis.get_ticklocs().tolist() == [0, 1, 2]
    shown = {text.get_position(): text.get_text() for text in ax.texts}
    assert shown == {(x, y): str(MATRIX[y, x]) for x in range(3) for y in range(3)}
    # The first class stands at the top, as in the matrix, and the colours lie under their counts.
    assert ax.get_ylim() == (2.5, -0.5) and ax.get_xlim() == (-0.5, 2.5)
    assert ax.images[0].get_extent() == [-0.5, 2.5, 2.5, -0.5]


def test_the_colours_of_a_confusion_matrix_are_its_errors():
    """With the diagonal on the same scale, every error would look like none."""
    ax, colorbar = figures.confusion_matrix(MATRIX, CLASSES).axes
    image = ax.images[0]
    assert np.array_equal(image.get_array(), [[0, 2, 0], [7, 0, 0], [1, 10, 0]])
    assert image.get_clim() == (0, 10)
    assert colorbar.get_ylabel() == "errors (images)" and colorbar.get_ylim() == (0, 10)
    for text in ax.texts:
        x, y = text.get_position()
        assert text.get_fontweight() == ("bold" if x == y else "normal")
        background = image.to_rgba(image.get_array())[y, x, :3].mean()
        ink = mpl.colors.to_rgb(text.get_color())[0]
        assert abs(ink - background) > 0.4, "the count cannot be read on its colour"


def test_a_confusion_matrix_without_errors_is_white():
    ax, colorbar = figures.confusion_matrix(np.diag([3, 5]), ["0", "1"]).axes
    assert ax.images[0].get_clim() == (0, 1) and not ax.images[0].get_array().any()
    assert {text.get_color() for text in ax.texts} == {"black"}


@pytest.mark.parametrize("names, rotation", [(["0", "10"], 0), (["cat", "dog"], 45)])
def test_long_class_names_are_turned_so_that_they_do_not_overlap(names, rotation):
    ax, _ = figures.confusion_matrix(np.eye(2, dtype=int), names).axes
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {rotation}


def look(collection: PathCollection) -> tuple:
    """Return what tells one class from another: colour and marker."""
    return to_hex(collection.get_facecolor()[0]), collection.get_paths()[0].vertices.tobytes()


def test_each_class_has_a_look_of_its_own_and_the_legend_names_it():
    _, ax = plt.subplots()
    labels = np.arange(50) * 7 % 10
    points = np.stack([labels + 0.5, np.arange(50)], axis=1)
    names = [f"class {number}" for number in range(10)]
    figures.scatter_classes(ax, points, labels, names, size=9)
    legend = ax.get_legend()
    named = {
        text.get_text(): look(handle)
        for text, handle in zip(legend.texts, legend.legend_handles, strict=True)
    }
    assert list(named) == names and len(set(named.values())) == 10
    drawn = {look(c): c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)}
    for number, name in enumerate(names):
        assert np.array_equal(drawn[named[name]], points[labels == number])
    assert all(c.get_sizes().tolist() == [9] for c in ax.collections)


def test_a_scatter_can_do_without_a_legend():
    _, ax = plt.subplots()
    figures.scatter_classes(ax, np.eye(2), np.array([1, 0]), ["a", "b"], legend=False)
    assert ax.get_legend() is None and len(ax.collections) == 2


LENET = [
    ("", (1, 28, 28)),
    ("5 × 5", (6, 28, 28)),
    ("pool", (6, 14, 14)),
    ("many", (40, 7, 14)),
    ("dense", (120,)),
    ("out", (10,)),
]


@pytest.fixture
def diagram():
    """The axes of a drawn network, and its boxes as a list for each stage."""
    _, ax = plt.subplots()
    figures.layer_diagram(ax, LENET, title="LeNet")
    boxes = iter(patch for patch in ax.patches if isinstance(patch, Rectangle))
    piles = [[next(boxes) for _ in range(count)] for count in (1, 6, 6, 16, 1, 1)]
    assert next(boxes, None) is None
    return ax, piles


def extent(pile: list[Rectangle]) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a pile of boxes."""
    left, bottom = np.min([box.get_xy() for box in pile], axis=0)
    right, top = np.max([(b.get_x() + b.get_width(), b.get_y() + b.get_height()) for b in pile], 0)
    return left, right, bottom, top


def test_a_layer_diagram_is_to_scale(diagram):
    ax, piles = diagram
    sizes = [{(box.get_width(), box.get_height()) for box in pile} for pile in piles]
    assert sizes[:4] == [{(1, 1)}, {(1, 1)}, {(0.5, 0.5)}, {(0.5, 0.25)}]
    (_, long), (_, short) = *sizes[4], *sizes[5]
    assert long - short == pytest.approx(0.2 * np.log10(12))
    assert ax.get_aspect() == 1


def test_a_layer_diagram_has_a_map_of_its_own_for_up_to_sixteen(diagram):
    _, piles = diagram
    for pile in piles:
        # Each one stands further down and to the left than the one behind it.
        assert (np.diff([box.get_xy() for box in pile], axis=0) < 0).all()
    maps, features = (to_hex(pile[0].get_edgecolor()) for pile in (piles[0], piles[-1]))
    assert maps != features


def test_a_layer_diagram_names_each_result_above_it_and_each_step_before_it(diagram):
    ax, piles = diagram
    shown = {text.get_text(): text for text in ax.texts if text.get_text()}
    sizes = ["1 × 28 × 28", "6 × 28 × 28", "6 × 14 × 14", "40 × 7 × 14", "120", "10"]
    assert set(shown) == {*sizes, *(operation for operation, _ in LENET[1:])}
    for size, pile in zip(sizes, piles, strict=True):
        left, right, _, top = extent(pile)
        x, y = shown[size].get_position()
        assert x == pytest.approx((left + right) / 2) and top < y < top + 0.1
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
    for (operation, _), before, after, arrow in zip(
        LENET[1:], piles, piles[1:], arrows, strict=False
    ):
        assert extent(before)[1] < arrow.xyann[0] < arrow.xy[0] < extent(after)[0]
        assert arrow.xy[1] == arrow.xyann[1] == 0
        x, y = shown[operation].get_position()
        assert arrow.xyann[0] < x < arrow.xy[0] and y < 0
    assert len(arrows) == len(LENET) - 1
    assert ax.get_title() == "LeNet" and not ax.axison


def test_a_layer_diagram_lies_within_its_axes(diagram):
    ax, piles = diagram
    left, right, bottom, top = extent(sum(piles, []))
    assert ax.get_xlim()[0] < left and right < ax.get_xlim()[1] < right + 0.5
    assert ax.get_ylim()[0] < bottom and top < ax.get_ylim()[1]


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


def test_table_places_each_value_and_leaves_a_missing_one_empty(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, raw: shown.append((data, raw)))
    rows = [{"model": "LeNet", "n": 1, "time": "2 s"}, {"time": 0, "model": "c"}]
    figures.table(rows, ["model", "time", "n"])
    ((data, raw),) = shown
    assert raw and data["text/plain"] == "model | time | n\nLeNet | 2 s | 1\nc | 0 | "
    table = ElementTree.fromstring(data["text/html"])
    assert [part.tag for part in table] == ["thead", "tbody"]  # no caption was given
    lines = [[(cell.tag, cell.text) for cell in line] for line in table.iter("tr")]
    assert lines == [
        [("th", "model"), ("th", "time"), ("th", "n")],
        [("th", "LeNet"), ("td", "2 s"), ("td", "1")],
        [("th", "c"), ("td", "0"), ("td", None)],
    ]
    for line in table.iter("tr"):
        sides = [cell.get("style") for cell in line]
        assert sides == ["text-align:left", "text-align:right", "text-align:right"]
    heads = [head.get("scope") for head in table.iter("th")]
    assert heads == ["col", "col", "col", "row", "row"]


def test_the_order_of_a_table_is_that_of_its_first_row(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, raw: shown.append(data["text/plain"]))
    figures.table([{"b": 1, "a": 2}, {"a": 3, "b": 4}], caption="letters")
    assert shown == ["b | a\n1 | 2\n4 | 3"]


def test_a_number_grid_shows_each_number_in_its_cell_and_shades_the_marked_ones():
    _, ax = plt.subplots()
    figures.number_grid(ax, [[1, -2.5, 3], [4, 5, 6]], marked=[[0, 2, 0], [0, 0, 1]], title="w")
    shown = {text.get_position(): text.get_text() for text in ax.texts}
    assert shown[0.5, 0.5] == "1" and shown[1.5, 0.5] == "\u22122.5" and shown[2.5, 1.5] == "6"
    colors = {patch.get_xy(): to_hex(patch.get_facecolor()) for patch in ax.patches}
    assert colors[0, 0] == "#ffffff"
    assert colors[1, 0] == figures.COLORS[1].lower() and colors[2, 1] == figures.COLORS[0].lower()
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top
    assert ax.get_title() == "w"


def test_marks_of_another_shape_are_refused():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"marked must have the shape \(2, 3\), got \(3, 2\)"):
        figures.number_grid(ax, np.zeros((2, 3)), marked=np.zeros((3, 2), int))


def test_texts_stand_in_a_grid_as_they_are():
    _, ax = plt.subplots()
    figures.number_grid(ax, np.array([["$x_{11}$", ""]], dtype=object))
    assert [text.get_text() for text in ax.texts] == ["$x_{11}$", ""]
