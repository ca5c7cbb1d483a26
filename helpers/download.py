"""One download that ends in the whole, checked file or in one clear error."""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import filelock

from helpers.errors import ReaderError
from helpers.progress import Progress

TIMEOUT = 15.0  # seconds of silence after which a mirror is given up
RATE_WINDOW = 15.0  # seconds over which a mirror's rate is taken
MINIMUM_RATE = 100_000.0  # bytes a second below which the next mirror is tried
LAST_MINIMUM_RATE = 5_000.0  # the same for the last mirror: slow is better than nothing
LOCK_TIMEOUT = 7200.0  # seconds to wait for another process that downloads the same file
BLOCK_BYTES = 1 << 18
# Some hosts answer Python's own agent string with 403.
USER_AGENT = "Mozilla/5.0 (compatible; cnn-homework)"


class DataError(ReaderError, RuntimeError):
    """A data set could not be had; `tried` lists each (place, reason)."""

    def __init__(self, message: str, tried: Sequence[tuple[str, str]] = ()):
        super().__init__(message)
        self.tried = tuple(tried)


class _MirrorFailure(Exception):
    """Why one mirror did not give the file."""


def download(urls: Sequence[str], destination: Path, size: int, md5: str) -> str | None:
    """Put at `destination` the file that `urls` all promise, of `size` bytes and MD5 digest `md5`.

    The mirrors are tried in their order. Processes that want the same file wait for each other; the
    operating system frees the lock of one that dies. Returns the address that gave the file, or
    None if a whole one was there already. Raises `DataError` that names each mirror with its
    reason; `destination` is then as it was.
    """
    destination = Path(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        # Where nothing can be written, fail now: on Windows the lock would be waited for.
        with tempfile.TemporaryFile(dir=destination.parent):
            pass
        with _locked(destination):
            if _is_whole(destination, size, md5):
                return None
            return _from_first_mirror(urls, destination, size, md5)
    except filelock.Timeout:
        problem = f"another process has been downloading it for {LOCK_TIMEOUT:.0f} seconds"
        advice = "Wait for that process or end it, then run again."
    except OSError as error:  # a mirror's own errors do not get here: this is the disk
        problem = error.strerror or str(error)
        advice = "Make room there, or set XDG_CACHE_HOME to a folder that can be written."
    raise DataError(
        f"{destination.name} cannot be saved in {destination.parent}: {problem}. {advice}",
        [(f"saving {destination.name}", problem)],
    )


@contextlib.contextmanager
def _locked(destination: Path) -> Iterator[None]:
    lock = filelock.FileLock(destination.with_name(f".{destination.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"Waiting for another process that downloads {destination.name}", flush=True)
        lock.acquire(timeout=LOCK_TIMEOUT)
    try:
        yield
    finally:
        lock.release()


def _from_first_mirror(urls: Sequence[str], destination: Path, size: int, md5: str) -> str:
    # One fixed name: the lock keeps others out, and what a killed process left is overwritten.
    partial = destination.with_name(f".{destination.name}.part")
    tried = []
    try:
        for url in urls:
            host = urlsplit(url).hostname
            # In kB, and never 0: a label file has a few thousand bytes.
            progress = Progress(f"{destination.name} from {host}, in kB", size // 1000 + 1)
            minimum_rate = MINIMUM_RATE if url != urls[-1] else LAST_MINIMUM_RATE
            try:
                digest = _save(partial, _blocks(url, size, minimum_rate, progress))
                if digest != md5:
                    raise _MirrorFailure(f"the MD5 checksum is {digest}, expected {md5}")
            except _MirrorFailure as failure:
                progress.finish(str(failure))
                tried.append((url, str(failure)))
            else:
                os.replace(partial, destination)
                progress.finish("downloaded")
                return url
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    reasons = "".join(f"\n  - {url}: {reason}" for url, reason in tried)
    advice = "Check the network connection and run again."
    raise DataError(f"{destination.name} could not be downloaded:{reasons}\n{advice}", tried)


def _save(path: Path, blocks: Iterator[bytes]) -> str:
    """Write `blocks` to `path`, through to the disk, and return their MD5 digest."""
    digest = _md5()
    with open(path, "wb") as file:
        for block in blocks:
            file.write(block)
            digest.update(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _blocks(url: str, size: int, minimum_rate: float, progress: Progress) -> Iterator[bytes]:
    """Yield the body of `url` block by block; raises `_MirrorFailure` unless it is `size` bytes."""
    received = 0
    try:
        request = Request(url, headers={"User-Agent": USER_AGENT})
        with urlopen(request, timeout=TIMEOUT) as response:
            announced = response.headers.get("Content-Length", "")
            if response.headers.get_content_type() == "text/html":
                raise _MirrorFailure("it sent a web page instead of the file")
            if announced.isdigit() and int(announced) != size:
                raise _MirrorFailure(f"it offers {announced} bytes, expected {size}")
            start, start_bytes = time.monotonic(), 0
            # read1 returns what has come, so that a drip is seen for what it is.
            while block := response.read1(BLOCK_BYTES):
                received += len(block)
                if received > size:
                    raise _MirrorFailure(f"it sent more than the expected {size} bytes")
                yield block
                progress.update(received // 1000)
                seconds = time.monotonic() - start
                if seconds >= RATE_WINDOW and received < size:
                    rate = (received - start_bytes) / seconds
                    if rate < minimum_rate:
                        raise _MirrorFailure(f"it is too slow, {rate / 1000:.1f} kB/s")
                    start, start_bytes = time.monotonic(), received
    except HTTPError as error:
        error.close()
        raise _MirrorFailure(f"HTTP status {error.code} {error.reason}") from error
    except URLError as error:
        raise _MirrorFailure(_in_words(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise _MirrorFailure(f"{_in_words(error)} after {received} of {size} bytes") from error
    if received != size:
        raise _MirrorFailure(f"the connection ended after {received} of {size} bytes")


def _in_words(error: Exception | str) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _is_whole(path: Path, size: int, md5: str) -> bool:
    if not path.is_file() or path.stat().st_size != size:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest() == md5


def _md5():
    # A checksum, no security: some machines forbid MD5 unless that is said.
    return hashlib.md5(usedforsecurity=False)
