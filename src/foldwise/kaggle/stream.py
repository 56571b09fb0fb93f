"""A file that Kaggle sends: gone on with after a break, never a page of an error in its place."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.files import disk_full, out_of_space, shown
from foldwise.kaggle import client
from foldwise.kaggle.client import Kaggle


def save(kaggle: Kaggle, what: str, answer_of: Callable[[], Any], target: Path) -> None:
    """The file behind the answer of ``answer_of`` as ``target``, of the size that Kaggle says.

    Each try asks for a new address, and goes on where the last one was cut: the part stays for the
    next call too. Raises FoldwiseError: no connection, a full disk.
    """
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for pause in (*client.PAUSES, None):
            answer = answer_of()
            if not kaggle.api.download_needed(answer, str(target)):
                answer.close()  # it is there: what came next was broken off
                return
            _refuse_too_large(answer, target)
            try:
                # Its stdout is not for people; its bar is on stderr, and only for a terminal.
                with contextlib.redirect_stdout(None), kaggle.api.build_kaggle_client() as sdk:
                    kaggle.api.download_file(
                        answer, str(target), sdk.http_client(), quiet=not sys.stderr.isatty(),
                        resume=True, max_retries=0, timeout=client.ANSWER,
                    )  # fmt: skip
                return
            except (RequestException, HTTPError, OSError, ValueError) as error:
                network = isinstance(error, RequestException | HTTPError | ConnectionError)
                if isinstance(error, OSError) and (out_of_space(error) or not network):
                    forget(target)  # on a full disk, or the part would be what fills it
                    raise
                if isinstance(error, ValueError):  # not the size that was said: nothing to keep
                    forget(target)
                if pause is None:
                    raise kaggle.reason(f"downloading {what}", error) from error
                time.sleep(pause)
    except OSError as error:
        if out_of_space(error):
            raise disk_full(target) from error
        raise FoldwiseError(
            f"{shown(target)} cannot be written ({error.strerror}): make that folder writable"
        ) from error


def forget(target: Path) -> None:
    """Remove a download, or the part of one."""
    for path in (target, target.with_name(f"{target.name}.kaggle-partial")):
        path.unlink(missing_ok=True)


def _refuse_too_large(answer: Any, target: Path) -> None:
    size = int(answer.headers.get("Content-Length") or 0)
    there = target.stat().st_size if target.is_file() else 0
    free = shutil.disk_usage(target.parent).free
    if size - there > free:
        answer.close()
        raise FoldwiseError(
            f"{target.name} is {size / 2**20:,.0f} MB, {free / 2**20:,.0f} MB are free at "
            f"{shown(target.parent)}: free some space, then repeat the command"
        )
