"""A real browser for the tests: Chromium without a window, by the W3C's WebDriver protocol."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # what the protocol calls an element's id


def missing() -> str:
    """Why there is no browser here; '' where there is one."""
    if not any(map(shutil.which, NAMES)):
        return "no Chromium here (apt-get install chromium chromium-driver)"
    if not shutil.which("chromedriver"):
        return "no chromedriver here (apt-get install chromium-driver)"
    return ""


class Browser:
    """One session; the address is of the session."""

    def __init__(self, address: str) -> None:
        self.address = address

    def open(self, path: Path) -> None:
        _call(f"{self.address}/url", {"url": path.as_uri()})

    def run(self, script: str, *values: Any) -> Any:
        """What a script of JavaScript returns."""
        return _call(f"{self.address}/execute/sync", {"script": script, "args": list(values)})

    def click(self, css: str) -> None:
        """A click with the mouse on the first element that fits."""
        _call(f"{self.address}/element/{self._find(css)}/click", {})

    def type(self, css: str, text: str) -> None:
        _call(f"{self.address}/element/{self._find(css)}/value", {"text": text})

    def texts(self, css: str) -> list[str]:
        """Of all visible elements that fit."""
        script = """return [...document.querySelectorAll(arguments[0])]
            .filter((one) => one.checkVisibility()).map((one) => one.textContent)"""
        found: list[str] = self.run(script, css)
        return found

    def size(self, width: int, height: int) -> None:
        _cdp(self, "Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def dark(self, on: bool) -> None:
        """As the system's setting would have it."""
        value = "dark" if on else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        _cdp(self, "Emulation.setEmulatedMedia", features=[feature])

    def shot(self, path: Path, whole: bool = False) -> None:
        """A screenshot; ``whole``: of all of the page."""
        answer = _cdp(self, "Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def errors(self) -> list[str]:
        """What went wrong in the page since the last call, requests to elsewhere included."""
        log = _call(f"{self.address}/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def _find(self, css: str) -> str:
        found = _call(f"{self.address}/element", {"using": "css selector", "value": css})
        name: str = found[ELEMENT]
        return name


def _cdp(browser: Browser, command: str, **params: Any) -> Any:
    return _call(f"{browser.address}/goog/cdp/execute", {"cmd": command, "params": params})


def _call(address: str, content: dict[str, Any] | None = None) -> Any:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from error


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser that is gone at the end."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield from _driven(port, folder)


def _driven(port: int, folder: str) -> Iterator[Browser]:
    """One session of a driver that leaves what it leaves in ``folder``."""
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], env={**os.environ, "TMPDIR": folder},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(200):
            with contextlib.suppress(OSError):
                if _call(f"{base}/status")["ready"]:
                    break
            time.sleep(0.05)
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
            "binary": next(found for name in NAMES if (found := shutil.which(name))),
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = _call(f"{base}/session", {"capabilities": {"alwaysMatch": wanted}})
        one = Browser(f"{base}/session/{made['sessionId']}")
        try:
            yield one
        finally:
            urllib.request.urlopen(urllib.request.Request(one.address, method="DELETE"), timeout=60)
    finally:
        driver.terminate()
        driver.wait(20)
