"""The official Kaggle client, with what it lacks: time limits, bounded tries, the reason of a no.

Nothing else imports it, and nothing does so before it is needed: its import alone tries to log in.
"""

import contextlib
import functools
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError, pip_install

CONNECT, ANSWER = 10.0, 60.0  # seconds until connected, and for each piece of an answer
PAUSES = (1.0, 4.0, 15.0)  # seconds before the second, third and fourth try
LONGEST = 60.0  # seconds that a Retry-After is waited for
CLIENT = ("'kaggle>=2.2.4,<2.3'", "six")
HOW_TO = (
    "make a token on kaggle.com (Settings, API) and save it as ~/.kaggle/access_token, or set "
    "KAGGLE_API_TOKEN; a legacy kaggle.json in ~/.kaggle or KAGGLE_USERNAME and KAGGLE_KEY do too"
)


class Refused(FoldwiseError):
    """Kaggle says no, and nothing was done."""

    def __init__(self, line: str, status: int, reason: str) -> None:
        super().__init__(line)
        self.status, self.reason = status, reason


class Unanswered(FoldwiseError):
    """No answer, or none that says whether it was done."""


class Kaggle:
    """A client that is logged in. ``username`` owns what it makes."""

    def __init__(self, api: Any, source: str) -> None:
        self.api, self.source = api, source
        self.username = str(api.config_values.get("username") or "")

    def ask(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """A question: it changes nothing, so it is repeated where no answer comes.

        Raises Refused (4xx) and, after the last try, Unanswered; their line begins with ``what``.
        """
        return self._try(what, call, args, options, repeat=True)

    def tell(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Something to be done once: repeated only where Kaggle says that it was not (429).

        Raises Refused, or Unanswered where it may have been done.
        """
        return self._try(what, call, args, options, repeat=False)

    def _try(
        self, what: str, call: Callable[..., Any], args: Any, options: Any, repeat: bool
    ) -> Any:
        from requests import RequestException

        for pause in (*PAUSES, None):
            try:
                with quiet():
                    return call(*args, **options)
            except (RequestException, json.JSONDecodeError) as error:  # the latter: a page of HTML
                status = _status(error)
                again = status == 429 or (repeat and not 400 <= status < 500)
                if pause is None or not again:
                    raise self.reason(what, error) from error
                time.sleep(max(pause, _retry_after(error)))
        raise AssertionError

    def rpc(self, group: str, client: str, method: str, request: Any) -> Any:
        """One call of the client's generated layer, which has more than its methods."""
        with self.api.build_kaggle_client() as sdk:
            return getattr(getattr(getattr(sdk, group), client), method)(request)

    def reason(self, what: str, error: Exception) -> FoldwiseError:
        """The error of a call as one line: what was wanted, what Kaggle said, what to do."""
        status, said = _status(error), _said(error)
        if status == 401:
            line = f"Kaggle does not accept the credentials of {self.source}: {HOW_TO}"
            return Refused(f"{what}: {line}", status, said)
        if status == 429:
            return Unanswered(
                f"{what}: Kaggle wants fewer requests ({said}): wait some minutes, then repeat"
            )
        if 400 <= status < 500:
            return Refused(f"{what}: Kaggle says no ({status}: {said})", status, said)
        if status:
            return Unanswered(
                f"{what}: Kaggle has a fault of its own ({said}): repeat the command later"
            )
        return Unanswered(
            f"{what}: no answer from Kaggle ({said}): check the network, then repeat the command"
        )


def connect() -> Kaggle:
    """The client, with the credentials that it finds itself.

    Raises FoldwiseError where it is not installed, or where there are no credentials; whether they
    are right shows with the first question.
    """
    source = credentials()
    if not source:
        raise FoldwiseError(f"there are no Kaggle credentials: {HOW_TO}")
    try:
        from requests import RequestException
        from requests.adapters import HTTPAdapter

        _limit_time(HTTPAdapter)
        with quiet():  # it tries to log in, and prints how to where it cannot
            from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError as error:
        raise FoldwiseError(
            f"the Kaggle client cannot be imported ({error}): {pip_install(*CLIENT)},"
            " or leave the active environment so that .venv is used"
        ) from error
    api = KaggleApi()
    try:
        with quiet():
            api.authenticate()
    except SystemExit as error:  # it ends the process, where credentials are of no use
        raise FoldwiseError(
            f"the Kaggle client finds nothing of use in {source}: {HOW_TO}"
        ) from error
    except RequestException as error:
        raise Kaggle(api, source).reason("logging in", error) from error
    return Kaggle(api, source)


def credentials() -> str:
    """Where the client will take its credentials from, in its own order; '' from nowhere."""
    home = Path.home()
    legacy = _config_folder() / "kaggle.json"
    places = {
        "KAGGLE_API_TOKEN": bool(os.environ.get("KAGGLE_API_TOKEN")),
        "~/.kaggle/access_token": _has_text(home / ".kaggle" / "access_token"),
        "~/.kaggle/access_token.txt": _has_text(home / ".kaggle" / "access_token.txt"),
        "KAGGLE_KEY": all(os.environ.get(f"KAGGLE_{name}") for name in ("USERNAME", "KEY")),
        "kaggle.json": _is_legacy(legacy),
        "~/.kaggle/credentials.json": _has_text(home / ".kaggle" / "credentials.json"),
    }
    return next((name for name, there in places.items() if there), "")


def secrets() -> list[str]:
    """The texts that must never be in anything that is written or sent as a file."""
    home = Path.home()
    found = [os.environ.get(name, "") for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY")]
    for name in ("access_token", "access_token.txt"):
        path = home / ".kaggle" / name
        found.append(path.read_text(errors="replace") if path.is_file() else "")
    for path in (_config_folder() / "kaggle.json", home / ".kaggle" / "credentials.json"):
        content = _read_json(path)
        found += [str(content.get(n, "")) for n in ("key", "access_token", "refresh_token")]
    return [text.strip() for text in found if len(text.strip()) >= 8]


def _config_folder() -> Path:
    if os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(os.environ["KAGGLE_CONFIG_DIR"])
    folder = Path.home() / ".kaggle"
    if folder.exists() or not sys.platform.startswith("linux"):
        return folder
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"


def _has_text(path: Path) -> bool:
    try:
        return bool(path.read_text(errors="replace").strip())
    except OSError:
        return False


def _is_legacy(path: Path) -> bool:
    """With both parts: either may also be in its variable."""
    content = _read_json(path)
    return all(content.get(n) or os.environ.get(f"KAGGLE_{n.upper()}") for n in ("username", "key"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the client prints: we say it ourselves."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _limit_time(adapter: Any) -> None:
    """Give every request of this process a time limit, and its own retries an end within it."""
    send = adapter.send
    if hasattr(send, "__wrapped__"):
        return

    @functools.wraps(send)
    def limited(
        self: Any, request: Any, stream: Any = False, timeout: Any = None, **rest: Any
    ) -> Any:
        if (self.max_retries.total or 0) > len(PAUSES):
            self.max_retries = self.max_retries.new(total=len(PAUSES))
        return send(self, request, stream, timeout or (CONNECT, ANSWER), **rest)

    adapter.send = limited


def _status(error: Exception) -> int:
    """Of Kaggle's answer; 0 where none came, or only one of the storage that it sends on to."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    return status if status >= 400 and not getattr(response, "history", None) else 0


def _said(error: Exception) -> str:
    """The service's own reason, or what happened."""
    response = getattr(error, "response", None)
    text = ""
    if response is not None and response.status_code >= 400:
        try:
            body = response.json()
            inner = body.get("error", body)
            text = str(inner.get("message", "") if isinstance(inner, dict) else inner)
        except (ValueError, AttributeError):
            text = ""
        text = text or f"{response.status_code} {response.reason or ''}"
    from requests import Timeout

    if not text and isinstance(error, Timeout):
        text = f"none within {ANSWER:.0f} s"
    if not text and isinstance(error, json.JSONDecodeError):
        text = "a page in its place"
    return " ".join((text or _plain(error)).split())[:300]


def _plain(error: Exception) -> str:
    """The innermost reason of a broken connection: the others only repeat the address."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return f"{type(error).__name__}: {error}"


def _retry_after(error: Exception) -> float:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return min(LONGEST, max(0.0, float(headers.get("Retry-After", 0))))
    except ValueError:  # a date: our own pauses will do
        return 0.0
