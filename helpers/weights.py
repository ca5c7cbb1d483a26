"""Trained networks as compact files, for the page on which a reader draws a digit.

A file is gzip's, so that damage shows. Inside stand four bytes, the header's length (little-endian,
unsigned); the header, JSON; and the payload, the numbers of all arrays in the header's order, in C
order and little-endian. The header holds `notebook`, `network`, `date`, `sha256` (of the payload)
and `arrays`, a list of `{"name", "shape", "type"}`. The type says how an array is written:

- "float16": a number after the other;
- "int8": first a float32 scale for each row (each entry of the first axis), then whole numbers
  from -127 to 127; a weight is its number times its row's scale.
"""

import gzip
import hashlib
import json
import math
from collections.abc import Mapping

import numpy as np
import torch


def pack(
    header: Mapping[str, str], arrays: Mapping[str, np.ndarray | torch.Tensor], bits: int = 16
) -> bytes:
    """Return a network's file; `arrays` are its weights by name, `header` what else it should say.

    `bits` is 16 or 8; with 8, vectors (biases) still take 16. Raises `ValueError` for another
    number of bits, and for an array with a number that is not finite or too large for float16.
    """
    if bits not in (8, 16):
        raise ValueError(f"bits = {bits!r}: it must be 8 or 16")
    described, parts = [], []
    for name, array in arrays.items():
        array = torch.as_tensor(array).detach().cpu().float().numpy()
        if array.size and not np.abs(array).max() <= np.finfo(np.float16).max:
            raise ValueError(f"{name}: its numbers must be finite and at most 65504")
        as_type = "int8" if bits == 8 and array.ndim > 1 else "float16"
        described.append({"name": name, "shape": list(array.shape), "type": as_type})
        if as_type == "int8":
            rows = array.reshape(len(array), -1)
            scales = (np.abs(rows).max(axis=1) / 127).astype("<f4")
            scales[scales == 0] = 1  # a row of zeros
            parts += [scales, np.rint(rows / scales[:, np.newaxis]).astype("i1")]
        else:
            parts.append(array.astype("<f2"))
    payload = b"".join(part.tobytes() for part in parts)
    sha256 = hashlib.sha256(payload).hexdigest()
    head = json.dumps({**header, "sha256": sha256, "arrays": described}).encode()
    return gzip.compress(len(head).to_bytes(4, "little") + head + payload, mtime=0)


def unpack(file: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """Return a file's header, and its arrays by name as float32; `ValueError` if it is damaged."""
    try:
        content = gzip.decompress(file)
        start = 4 + int.from_bytes(content[:4], "little")
        header, payload = json.loads(content[4:start]), content[start:]
        arrays, place = {}, 0
        for entry in header["arrays"]:
            shape, count, scales = entry["shape"], math.prod(entry["shape"]), None
            if entry["type"] == "int8":
                scales = np.frombuffer(payload, "<f4", shape[0], place)
                place += scales.nbytes
            stored = {"int8": "i1", "float16": "<f2"}[entry["type"]]
            numbers = np.frombuffer(payload, stored, count, place)
            place += numbers.nbytes
            array = numbers.astype(np.float32).reshape(shape)
            if scales is not None:
                array *= scales.reshape(-1, *[1] * (array.ndim - 1))
            arrays[entry["name"]] = array
    except (OSError, EOFError, ValueError, KeyError, gzip.zlib.error) as error:
        raise ValueError(f"the network's file is damaged: {error}") from None
    if place != len(payload) or header["sha256"] != hashlib.sha256(payload).hexdigest():
        raise ValueError("the network's file is damaged: its payload is not what its header says")
    return header, arrays
