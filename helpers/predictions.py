"""The predictions file of an image classifier, `id,label`, and the scorer that a grader runs on it.

python -m helpers.predictions predictions.csv
"""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers import data
from helpers.errors import ReaderError

HEADER = ("id", "label")


class PredictionsError(ReaderError, ValueError):
    """A predictions file is not one label for each image, in order."""


def write(path: str | Path, labels: Sequence[int]) -> None:
    """Write `labels`, one whole number an image in the order of the images, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(enumerate(int(label) for label in labels))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read(path: str | Path, count: int, num_classes: int) -> np.ndarray:
    """Return the labels of a predictions file, int64 `[count]`.

    Raises `PredictionsError` unless the file has the head `id,label` and then the ids 0 to
    `count - 1`, each once and in order, with labels 0 to `num_classes - 1`.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PredictionsError(f"{path} cannot be read: {error}") from None
    head = tuple(name.strip() for name in rows[0]) if rows else ()
    if head != HEADER:
        raise PredictionsError(f"{path}: the first line must be id,label, not {','.join(head)!r}")
    labels = []
    for line, row in enumerate(rows[1:], start=2):
        where = f"{path}, line {line}"
        if len(row) != 2:
            raise PredictionsError(f"{where}: expected id,label, got {','.join(row)!r}")
        image = _whole(where, "id", row[0], count)
        if image < len(labels):
            raise PredictionsError(f"{where}: id {image} stands there twice")
        if image != len(labels):
            raise PredictionsError(f"{where}: expected id {len(labels)}, got {image}")
        labels.append(_whole(where, "label", row[1], num_classes))
    if len(labels) != count:
        raise PredictionsError(f"{path}: expected {count} predictions, got {len(labels)}")
    return np.array(labels, dtype=np.int64)


def score(path: str | Path, labels: np.ndarray, num_classes: int) -> float:
    """Return the accuracy, a fraction of 1, of a predictions file against the true `labels` `[n]`.

    Raises `PredictionsError` as `read` does.
    """
    return float((read(path, len(labels), num_classes) == labels).mean())


def _whole(where: str, what: str, text: str, limit: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < limit:
        raise PredictionsError(
            f"{where}: {what} {text.strip()!r} must be a whole number from 0 to {limit - 1}"
        )
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the accuracy of a predictions file on CIFAR-10's test images; return an exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.predictions", description=__doc__)
    parser.add_argument("file", help="predictions.csv")
    parser.add_argument("--dataset", choices=data.CIFAR10_CHOICES, default="cifar10")
    options = parser.parse_args(arguments)
    try:
        cifar10 = data.cifar10(options.dataset)
        accuracy = score(options.file, cifar10.test_labels, len(cifar10.class_names))
    except (PredictionsError, data.DataError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{accuracy:.4f} of the {len(cifar10.test_labels):,} test images of {cifar10.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
