"""The book's figures: one style, opaque backgrounds, colours safe for colour-blind readers."""

from collections.abc import Mapping, Sequence
from html import escape

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# Okabe and Ito's eight colours, black last, and their yellow darkened so that lines show on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C7A00", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


def use_style() -> None:
    """Set the book's style for every figure that follows."""
    mpl.rcParams.update(
        {
            # Opaque, so that labels stay readable on a page in dark mode.
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.prop_cycle": cycler(color=COLORS),
            "axes.grid": True,
            "grid.color": "#dddddd",
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "image.cmap": "gray",
        }
    )


def curves(
    ax: Axes,
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    log: bool = False,
) -> None:
    """Draw each of `series` against `x` in `ax`, told apart by colour and by line style.

    `series` maps a legend entry to values as long as `x`; `log` gives a logarithmic vertical axis.
    """
    for index, (name, values) in enumerate(series.items()):
        style = LINE_STYLES[index % len(LINE_STYLES)]
        # Few points look like a line between places where nothing was measured: mark them.
        marker = MARKERS[index % len(MARKERS)] if len(x) < 8 else None
        color = COLORS[index % len(COLORS)]
        ax.plot(x, values, style, color=color, marker=marker, label=name)
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend()


def image_grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int,
    cmap: str = "gray",
    title: str | None = None,
    size: float = 1.1,
    symmetric: bool = False,
) -> Figure:
    """Return a figure of `images` in rows of `columns`.

    `images` has shape `[n, height, width]` or `[n, height, width, 3]`; all share one intensity
    scale, so that they can be compared. `symmetric` centres that scale at zero, for signed values.
    `size` is the side of one image in inches.
    """
    images = np.asarray(images)
    if not len(images):
        raise ValueError(f"image_grid needs at least one image, got shape {images.shape}")
    rows = -(-len(images) // columns)
    height = size * rows * (1.25 if titles is not None else 1.05) + (0.4 if title else 0)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height), squeeze=False, layout="constrained"
    )
    low, high = float(images.min()), float(images.max())
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    for ax in axes.flat:
        ax.axis("off")
    for index, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image, cmap=cmap, vmin=low, vmax=high)
        if titles is not None:
            ax.set_title(titles[index], fontsize=9)
    if title:
        figure.suptitle(title)
    return figure


def confusion_matrix(
    matrix: np.ndarray, class_names: Sequence[str], *, title: str | None = None
) -> Figure:
    """Return a figure of a confusion matrix: rows are true classes, columns predicted ones.

    `matrix` has shape `[classes, classes]` and holds counts. Colour shows the errors only: on a
    common scale the diagonal would drown them.
    """
    matrix = np.asarray(matrix)
    errors = matrix - np.diag(np.diag(matrix))
    longest = max(map(len, class_names))
    figure, ax = plt.subplots(figsize=(5.2 + 0.1 * longest, 4.6 + 0.06 * longest))
    ax.grid(False)
    image = ax.imshow(errors, cmap="Blues", vmin=0, vmax=max(1, errors.max()))
    for (row, column), count in np.ndenumerate(matrix):
        dark = errors[row, column] > 0.6 * max(1, errors.max())
        ax.text(
            column,
            row,
            f"{count}",
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold" if row == column else "normal",
            color="white" if dark else "black",
        )
    rotation = 45 if longest > 2 else 0
    ax.set_xticks(range(len(class_names)), class_names, rotation=rotation)
    ax.set_yticks(range(len(class_names)), class_names)
    ax.set(xlabel="predicted class", ylabel="true class", title=title)
    figure.colorbar(image, ax=ax, label="errors (images)", shrink=0.85)
    return figure


def scatter_classes(
    ax: Axes,
    points: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    size: float = 22,
    legend: bool = True,
) -> None:
    """Scatter `points` `[n, 2]` with one colour and marker a class, given by `labels` `[n]`.

    With ten classes and eight colours, the marker tells apart what the colour alone would not.
    """
    for index, name in enumerate(class_names):
        chosen = np.asarray(labels) == index
        ax.scatter(
            points[chosen, 0],
            points[chosen, 1],
            s=size,
            marker=MARKERS[index % len(MARKERS)],
            color=COLORS[index % len(COLORS)],
            linewidths=0.3,
            edgecolors="white",
            label=name,
        )
    if legend:
        ax.legend(title="class", ncols=2, fontsize=8, bbox_to_anchor=(1.0, 1.0), loc="upper left")


def layer_diagram(
    ax: Axes, stages: Sequence[tuple[str, Sequence[int]]], *, title: str | None = None
) -> None:
    """Draw a network in `ax` from left to right: what it computes, and the size of each result.

    `stages` are pairs of the operation that leads to a result ("" for the input) and the shape of
    that result for one image: `[channels, height, width]` is drawn as a pile of maps to scale,
    `[features]` as a bar whose height grows with the logarithm of their number.
    """
    tallest = max(shape[1] for _, shape in stages if len(shape) == 3)
    x = 0.0
    for index, (operation, shape) in enumerate(stages):
        color = COLORS[0] if len(shape) == 3 else COLORS[2]
        if len(shape) == 3:
            channels, height, width = shape
            shift = 0.03 * (min(channels, 16) - 1)  # more than sixteen maps look like sixteen
            offsets = np.linspace(shift, 0, min(channels, 16))  # the last one lies in front
            sizes = (width / tallest, height / tallest)
        else:
            shift, offsets = 0.0, [0.0]
            sizes = (0.1, 0.25 + 0.2 * np.log10(shape[0]))
        for offset in offsets:
            corner = (x + offset, offset - sizes[1] / 2)
            ax.add_patch(
                Rectangle(corner, *sizes, facecolor="white", edgecolor=color, linewidth=1.0)
            )
        middle = x + (sizes[0] + shift) / 2
        size = " × ".join(map(str, shape))
        ax.text(middle, sizes[1] / 2 + shift + 0.06, size, ha="center", va="bottom", fontsize=8)
        if index:
            arrow = {"arrowstyle": "->", "color": "#555555"}
            ax.annotate("", (x - 0.08, 0), (x - 0.62, 0), arrowprops=arrow)
            ax.text(x - 0.35, -0.1, operation, ha="center", va="top", fontsize=7.5)
        x += sizes[0] + shift + 0.7
    ax.set(xlim=(-0.15, x - 0.5), ylim=(-0.7, 1.2), aspect="equal", title=title)
    ax.axis("off")


def number_grid(
    ax: Axes,
    values: np.ndarray,
    *,
    title: str | None = None,
    marked: np.ndarray | None = None,
    fontsize: float = 9,
) -> None:
    """Draw a matrix `values` `[rows, columns]` in `ax` as a grid of its numbers, or of texts.

    `marked` `[rows, columns]` holds whole numbers: 0 leaves a cell white, n shades it in the nth
    of `COLORS`. Equal shades in several grids show what belongs together.
    """
    values = np.asarray(values)
    rows, columns = values.shape
    marked = np.zeros((rows, columns), int) if marked is None else np.asarray(marked)
    if marked.shape != values.shape:
        raise ValueError(f"marked must have the shape {values.shape}, got {marked.shape}")
    for (row, column), value in np.ndenumerate(values):
        mark = marked[row, column]
        color = to_rgba(COLORS[mark - 1], 0.35) if mark else "white"
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=color, edgecolor="#888888"))
        text = value if isinstance(value, str) else f"{value:.4g}".replace("-", "\u2212")
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=fontsize)
    ax.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), aspect="equal")
    ax.axis("off")
    ax.set_title(title or "", fontsize=10)


def table(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str] | None = None,
    *,
    caption: str | None = None,
) -> None:
    """Display `rows` as a table; each maps a column's name to a value that is shown as it is.

    `columns` gives the order, by default that of the first row. The first column is the row's head
    and stands left, the others right. A cell that a row lacks stays empty.
    """
    if not rows:
        raise ValueError("table needs at least one row")
    columns = list(columns or rows[0])

    def line(tags: Sequence[str], values: Sequence[object]) -> str:
        sides = ["left"] + ["right"] * (len(values) - 1)
        cells = (
            f'<{tag} style="text-align:{side}">{escape(str(value))}</{tag.split()[0]}>'
            for tag, side, value in zip(tags, sides, values, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    values = [[row.get(column, "") for column in columns] for row in rows]
    head = line(['th scope="col"'] * len(columns), columns)
    body = "".join(line(['th scope="row"'] + ["td"] * (len(columns) - 1), v) for v in values)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    html = f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"
    text = "\n".join(" | ".join(map(str, cells)) for cells in [columns, *values])
    display({"text/html": html, "text/plain": text}, raw=True)
