"""HTTP servers on the loopback address: one that misbehaves on request, one for a folder."""

import functools
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server:
    """Serves `files` (name: bytes); the first part of the path says how, as in /truncated/name."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.asked = threading.Event()  # a request for /held/… has come
        self.release = threading.Event()  # lets the answer to /held/… go on
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                _, manner, name = self.path.split("/", 2)
                getattr(server, f"_{manner}")(self, server.files.get(name, b""))

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, manner: str, name: str = "") -> str:
        return f"http://127.0.0.1:{self._http.server_port}/{manner}/{name}"

    def close(self):
        self.release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @staticmethod
    def _head(handler, length=None, status=200, kind="application/octet-stream"):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()

    def _good(self, handler, body):
        self._head(handler, len(body))
        handler.wfile.write(body)

    def _truncated(self, handler, body):
        self._head(handler, len(body))
        handler.wfile.write(body[: len(body) // 2])

    def _short(self, handler, body):
        # No length announced: only the end of the connection ends the body.
        self._head(handler)
        handler.wfile.write(body[:-1])

    def _long(self, handler, body):
        self._head(handler)
        handler.wfile.write(body + b"!")

    def _wrong(self, handler, body):
        self._head(handler, len(body))
        handler.wfile.write(bytes(len(body)))

    def _html(self, handler, body):
        page = b"<html><body>Please sign in</body></html>"
        self._head(handler, len(page), kind="text/html; charset=utf-8")
        handler.wfile.write(page)

    def _disguised(self, handler, body):
        # A web page that claims to be the file, of the very size.
        page = b"<html><body>Try again later".ljust(len(body), b" ")
        self._head(handler, len(page))
        handler.wfile.write(page)

    def _403(self, handler, body):
        handler.send_error(403)

    def _503(self, handler, body):
        handler.send_error(503)

    def _cut(self, handler, body):
        self._head(handler, len(body))
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        # Closing with the linger time 0 resets the connection.
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.close_connection = True
        handler.connection.close()

    def _silent(self, handler, body):
        self._head(handler, len(body))
        handler.wfile.write(body[:1000])
        self.release.wait(20)

    def _slow(self, handler, body):
        self._head(handler, len(body))
        pieces = 20
        for start in range(0, len(body), len(body) // pieces):
            handler.wfile.write(body[start : start + len(body) // pieces])
            if self.release.wait(0.05):
                break

    def _held(self, handler, body):
        self._head(handler, len(body))
        handler.wfile.write(body[:1000])
        handler.wfile.flush()
        self.asked.set()
        self.release.wait(20)
        handler.wfile.write(body[1000:])


def dead_url(name: str = "") -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/{name}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; yields its address, without a slash at the end."""
    handler = functools.partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
