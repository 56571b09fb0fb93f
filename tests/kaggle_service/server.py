"""The HTTP face of `service.Kaggle`, with faults to be switched on.

The real client is led here by KAGGLE_API_ENVIRONMENT=LOCALHOST and http_proxy: requests arrive as
`POST http://localhost/api/v1/<Service>/<Method>`, those to storage as `http://storage.test/…`.
"""

import base64
import contextlib
import email.utils
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from kaggle_service.service import Kaggle, Refusal

STORAGE = "http://storage.test"


@dataclass
class Fault:
    """What goes wrong, ``times`` times, with the requests that ``where`` fits.

    ``where``: a method's name, ``download`` or ``upload``. status: this answer instead; lost: it is
    done, and the answer never sent; hang: no answer at all; html: a page instead of JSON; cut:
    the connection ends after so many bytes of the body; then: is called at the same moment; short:
    a body that is cut off, and said to be whole.
    """

    where: str
    times: int = 1
    status: int = 0
    message: str = ""
    lost: bool = False
    hang: bool = False
    html: bool = False
    cut: int | None = None
    short: int | None = None
    then: Callable[[], None] | None = None
    retry_after: str = ""


class Server(ThreadingHTTPServer):
    """Kaggle on a port of its own; ``with Server(folder) as server``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kaggle = Kaggle(folder, STORAGE)
        self.faults: list[Fault] = []
        self.seen: list[str] = []  # the methods that were asked, in their order
        self.ranges: list[str] = []  # of the downloads that asked for one
        self.leaks: list[str] = []  # addresses of storage that got credentials
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, where: str, **how: object) -> None:
        self.faults.append(Fault(where, **how))  # type: ignore[arg-type]

    def asked(self, method: str) -> int:
        return self.seen.count(method)

    def fault_at(self, where: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.fullmatch(fault.where, where):
                fault.times -= 1
                return fault
        return None

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        self.kaggle.close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # connections that a test cuts


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    # --- the API ------------------------------------------------------------------------------

    def do_POST(self) -> None:
        method = urlsplit(self.path).path.rsplit("/", 1)[-1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(method)
        fault = self.server.fault_at(method)
        if fault and self.spoiled(fault):
            return
        try:
            user = self.user(method)
            answer = self.server.kaggle.call(method, json.loads(body), user)
        except Refusal as refusal:
            self.answer(refusal.code, refusal.body)
            return
        if fault and fault.lost:
            self.hang_up()
        elif "redirect" in answer:
            self.send_response(302)
            self.send_header("Location", answer["redirect"])
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(200, answer)

    def user(self, method: str) -> str:
        kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if method == "IntrospectToken":
            return ""
        if kind == "Basic":
            credentials = base64.b64decode(credentials).decode()
        return self.server.kaggle.user(kind, credentials)

    def spoiled(self, fault: Fault) -> bool:
        """Whether a fault has taken the place of the answer."""
        if fault.then:
            fault.then()
        if fault.hang:
            self.server.closing.wait(30)
            self.hang_up()
        elif fault.html:
            self.answer(200, "<html>Please wait</html>", "text/html")
        elif fault.status:
            message = fault.message or f"fault {fault.status}"
            self.answer(fault.status, {"error": {"code": fault.status, "message": message}},
                        retry_after=fault.retry_after)  # fmt: skip
        elif fault.cut is not None and self.command == "POST":
            self.hang_up()
        else:
            return False
        return True

    def answer(
        self, code: int, content: object, kind: str = "application/json", retry_after: str = ""
    ) -> None:
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    # --- storage ------------------------------------------------------------------------------

    def refuse_credentials(self) -> None:
        if "Authorization" in self.headers:
            self.server.leaks.append(self.path)

    def stream(self) -> None:
        """Events of a kernel's log, as long as it runs; a fault cuts after so many of them."""
        *_, owner, slug = urlsplit(self.path).path.split("/")
        self.server.seen.append("stream")
        fault = self.server.fault_at("stream")
        if fault and fault.cut is None and self.spoiled(fault):
            return
        try:
            lines = self.server.kaggle.lines(owner, slug, self.user("stream"))
            first = next(lines, None)
        except Refusal as refusal:
            self.answer(refusal.code, refusal.body)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, line in enumerate(chain([first] if first is not None else [], lines)):
            if fault and number == fault.cut:
                self.hang_up()
                return
            event = {"stream_name": "stdout", "time": number, "data": line}
            self.chunk(f"data: {json.dumps(event)}\n\n")
        self.chunk("data: END_OF_LOG\n\n")
        self.chunk("")

    def chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def do_GET(self) -> None:
        if "/kernels/logs/stream/" in self.path:
            self.stream()
            return
        self.refuse_credentials()
        self.server.seen.append("download")
        fault = self.server.fault_at("download")
        if fault and (fault.status or fault.hang) and self.spoiled(fault):
            return
        data = self.server.kaggle.served.get(urlsplit(self.path).path)
        if data is None:
            self.answer(404, "<Error>NoSuchKey</Error>", "application/xml")
            return
        if fault and fault.short is not None:
            data = data[: fault.short]
        tag, start = f'"{hashlib.md5(data).hexdigest()}"', 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted:
            self.server.ranges.append(wanted[0])
            if self.headers.get("If-Range", tag) == tag and int(wanted[1]) < len(data):
                start = int(wanted[1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", email.utils.formatdate(1767323046, usegmt=True))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if fault and fault.cut is not None:
            self.wfile.write(data[start : start + fault.cut])
            self.wfile.flush()
            if fault.then:
                self.server.closing.wait(0.3)  # until what was sent has arrived
                fault.then()
                self.server.closing.wait(0.3)
            self.hang_up()
            return
        self.wfile.write(data[start:])

    def do_PUT(self) -> None:
        self.refuse_credentials()
        self.server.seen.append("upload")
        token = urlsplit(self.path).path.rsplit("/", 1)[-1]
        size = int(self.headers.get("Content-Length", 0))
        fault = self.server.fault_at("upload")
        if fault and fault.cut is not None:
            self.rfile.read(min(size, fault.cut))
            self.hang_up()
            return
        body = self.rfile.read(size)
        if fault and self.spoiled(fault):
            return
        content = self.headers.get("Content-Range", "")
        if content.startswith("bytes */"):  # how much is there?
            self.send_response(308)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.server.kaggle.blobs[token] = body
        if fault and fault.lost:
            self.hang_up()
            return
        self.answer(200, {})


def environment(server: Server, home: Path) -> dict[str, str]:
    """What leads an unmodified client to the server, as the user ann."""
    return {
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST", "http_proxy": server.address,
        "https_proxy": server.address, "NO_PROXY": "", "no_proxy": "", "HOME": str(home),
        "KAGGLE_USERNAME": "ann", "KAGGLE_KEY": server.kaggle.keys["ann"],
    }  # fmt: skip
