"""Which version of this package runs, told by its sources."""

import hashlib
import json
from pathlib import Path


def package_hash(package: Path = Path(__file__).parent) -> str:
    """Return the SHA-256 of the sources of a package and its subpackages; of this one by default.

    The same wherever the package is installed.
    """
    files = {file.relative_to(package).as_posix(): file for file in package.rglob("*.py")}
    sources = [[name, files[name].read_text(encoding="utf-8")] for name in sorted(files)]
    text = json.dumps(sources, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
