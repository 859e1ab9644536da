"""An HTTP server on the loopback interface with ranges, passwords and configurable faults."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``files`` (path -> content). Each request consumes the next configured fault."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.etag: str | None = '"v1"'
        self.last_modified: str | None = None
        self.password_of: dict[str, str] = {}
        """User -> password. If it is empty, no password is required."""
        self.forbidden: set[str] = set()
        self.moved: dict[str, str] = {}
        self.break_after: list[int] = []
        """Numbers of bytes of a body after which the connection is closed."""
        self.fail_with: list[int] = []
        self.retry_after: str | None = None
        self.has_head = True
        self.requests: list[tuple[str, str | None]] = []
        """(path, Range header) of every GET request, including rejected ones."""
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        if not self.server.has_head:
            self.send_error(405)
            return
        if self._is_refused():
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.files[self.path])))
        self.end_headers()

    def do_GET(self) -> None:
        server, wanted_range = self.server, self.headers.get("Range")
        server.requests.append((self.path, wanted_range))
        server.authorizations.append(self.headers.get("Authorization"))
        if self._is_refused():
            return
        content, start = server.files[self.path], 0
        is_weak = server.etag is not None and server.etag.startswith("W/")
        versions = {None if is_weak else server.etag, server.last_modified} - {None}
        if wanted_range and self.headers.get("If-Range") in versions:
            start = int(wanted_range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.last_modified:
            self.send_header("Last-Modified", server.last_modified)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + server.break_after.pop(0) if server.break_after else len(content)
        self.wfile.write(content[start:stop])

    def _is_refused(self) -> bool:
        server = self.server
        if server.fail_with:
            self.send_response(server.fail_with.pop(0))
            if server.retry_after:
                self.send_header("Retry-After", server.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif server.password_of and not self._has_password():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="clips"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in server.forbidden:
            self.send_error(403)
        elif self.path not in server.files:
            self.send_error(404)
        else:
            return False
        return True

    def _has_password(self) -> bool:
        given = self.headers.get("Authorization", "")
        known = (base64.b64encode(f"{u}:{p}".encode()).decode() for u, p in self.server.password_of.items())
        return given in {f"Basic {text}" for text in known}

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
