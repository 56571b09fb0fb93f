"""A kernel is pushed once and followed to its end."""

import dataclasses
import hashlib
import json
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown, write_text
from foldwise.kaggle import client
from foldwise.kaggle.client import Kaggle, Refused, Unanswered
from foldwise.kaggle.kernel import Kernel, Push, read_push, write_push
from foldwise.kaggle.live import printed

POLL = (5.0, 60.0)  # seconds between two looks at a kernel: at first, and at most
SHY = 60.0  # seconds in which Kaggle may not know yet what was just made
API = "kernels_api_client"
ENDED = ("COMPLETE", "ERROR", "CANCEL_REQUESTED", "CANCEL_ACKNOWLEDGED")
BUSY = "session count"  # in what Kaggle says when as many kernels run as it lets us
TAIL = 3  # lines of the log in an error


class Busy(FoldwiseError):
    """As many of our kernels run as Kaggle lets us: nothing was pushed."""


def push(kaggle: Kaggle, kernel: Kernel, archive: str, seconds: float) -> Push:
    """Push a kernel's folder, unless this very source was pushed before and is not done with.

    ``archive``: SHA-256 of the package in it; ``seconds``: that its session may take. Raises Busy,
    and FoldwiseError for whatever Kaggle says against it, and for sources that it does not attach.
    """
    source = hashlib.sha256(kernel.code_file.read_bytes()).hexdigest()
    source = hashlib.sha256(f"{source}{json.dumps(kernel.metadata())}".encode()).hexdigest()
    last, newest = read_push(kernel.folder), _version(kaggle, kernel.ref)
    if last and last.source == source and last.ref == kernel.ref:
        if last.state == "pushing" and newest > last.version:  # killed before the answer came
            last = mark(kernel.folder, dataclasses.replace(last, version=newest), state="pushed")
        if last.state == "pushed":
            print(f"{last.ref} was pushed before as version {last.version}", file=sys.stderr)
            return last
    made = Push(kernel.ref, newest, source, archive, state="pushing")
    write_push(kernel.folder, made)
    version = _pushed_once(kaggle, kernel, newest, seconds)
    made = dataclasses.replace(made, version=version, state="pushed")
    write_push(kernel.folder, made)
    print(f"pushed as version {version}: https://www.kaggle.com/code/{kernel.ref}", file=sys.stderr)
    return made


def follow(kaggle: Kaggle, folder: Path, made: Push, minutes: float) -> None:
    """Wait until the session of a push has ended well; its log becomes ``folder``/log.txt.

    What it prints is shown meanwhile, where Kaggle streams it.

    Raises FoldwiseError where it failed, was cancelled or took the place of another version, and
    where it has not ended within ``minutes`` (it goes on, and the next call waits again).
    """
    with printed(kaggle, made.ref) as running:
        answer = _ended(kaggle, made, minutes, running)
    state = answer.status.name
    log = _log(kaggle, made.ref)
    write_text(folder / "log.txt", log)
    now = _version(kaggle, made.ref)
    if now != made.version:
        _fail(folder, made)
        raise FoldwiseError(
            f"{made.ref} was pushed by somebody else meanwhile (version {now}, ours was "
            f"{made.version}): repeat the command"
        )
    if state != "COMPLETE":
        _fail(folder, made)
        said = " / ".join([line for line in log.splitlines() if line.strip()][-TAIL:])
        reason = " ".join(filter(None, [answer.failure_message, said])) or "no reason is given"
        raise FoldwiseError(
            f"{made.ref} version {made.version} ended as {state.lower()}: {reason[-500:]} (its log "
            f"is in {shown(folder / 'log.txt')})"
        )


def _ended(kaggle: Kaggle, made: Push, minutes: float, running: Event) -> Any:
    """The answer on a session that has ended; ``running`` is set when it has begun."""
    began, pause, before = time.monotonic(), POLL[0], ""
    while True:
        answer = _status(kaggle, made.ref, patient=time.monotonic() - began < SHY)
        state = answer.status.name if answer else "not known yet"
        if state != before:
            print(f"{made.ref} version {made.version}: {state.lower()}", file=sys.stderr)
            before = state
        if state in ENDED:
            return answer
        if state == "RUNNING":
            running.set()
        if time.monotonic() + pause > began + 60 * minutes:
            raise FoldwiseError(
                f"{made.ref} has not ended after {minutes:g} minutes ({state.lower()}): the same "
                "command goes on waiting, and pushes nothing again"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, POLL[1])


def mark(folder: Path, made: Push, **changes: str) -> Push:
    """The push with another state, written down."""
    changed = dataclasses.replace(made, **changes)  # type: ignore[arg-type]
    write_push(folder, changed)
    return changed


def _pushed_once(kaggle: Kaggle, kernel: Kernel, before: int, seconds: float) -> int:
    """The version that a push made. Where no answer comes, it is looked for before another try."""
    for pause in (*client.PAUSES, None):
        try:
            answer = kaggle.tell(
                f"pushing {kernel.ref}", kaggle.api.kernels_push, str(kernel.folder),
                timeout=str(int(seconds)),
            )  # fmt: skip
            return _accepted(kernel, answer)
        except Unanswered as error:
            now = _version(kaggle, kernel.ref)
            if now > before:
                return now
            if pause is None:
                raise error
            time.sleep(pause)
        except ValueError as error:  # what the client itself finds wrong with the folder
            raise FoldwiseError(f"{shown(kernel.folder)} cannot be pushed: {error}") from error
    raise AssertionError


def _accepted(kernel: Kernel, answer: Any) -> int:
    """The version of a push that Kaggle took as it was meant."""
    if answer.error:
        if BUSY in answer.error:
            raise Busy(
                f"{kernel.ref}: {answer.error}: wait for one to end, then repeat the command"
            )
        raise FoldwiseError(f"{kernel.ref} was not pushed: Kaggle says '{answer.error}'")
    rejected = [
        *(answer.invalid_dataset_sources or []), *(answer.invalid_competition_sources or []),
        *(answer.invalid_kernel_sources or []), *(answer.invalid_model_sources or []),
    ]  # fmt: skip
    if rejected:
        raise FoldwiseError(
            f"{kernel.ref} was pushed as version {answer.version_number} without "
            f"{first_few(rejected)}, which Kaggle does not attach (not there, not yours, or rules "
            "that are not accepted): its run is of no use; mend that, then repeat the command"
        )
    named = (answer.ref or "").rstrip("/").rpartition("/")[2].lower()
    if named and named != kernel.slug:
        raise FoldwiseError(
            f"{kernel.ref} was pushed, and Kaggle named it {named}: rename it there to "
            f"'{kernel.metadata()['title']}', then repeat the command"
        )
    return int(answer.version_number)


def _version(kaggle: Kaggle, ref: str) -> int:
    """The newest version of a kernel on Kaggle; 0 where there is none."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest

    request = ApiGetKernelRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    try:
        answer = kaggle.ask(f"the kernel {ref}", kaggle.rpc, "kernels", API, "get_kernel", request)
    except Refused as error:
        if error.status in (403, 404):
            return 0
        raise
    return int(answer.metadata.current_version_number)


def _status(kaggle: Kaggle, ref: str, patient: bool) -> Any:
    """The answer on a kernel's session; None while Kaggle may not know the kernel yet."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelSessionStatusRequest

    request = ApiGetKernelSessionStatusRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    method = "get_kernel_session_status"
    try:
        return kaggle.ask(f"the state of {ref}", kaggle.rpc, "kernels", API, method, request)
    except Refused as error:
        if patient and error.status in (403, 404):
            return None
        raise


def _log(kaggle: Kaggle, ref: str) -> str:
    """What a kernel printed, as plain lines."""
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    method = "list_kernel_session_output"
    answer = kaggle.ask(f"the log of {ref}", kaggle.rpc, "kernels", API, method, request)
    try:
        return "".join(event.get("data", "") for event in json.loads(answer.log or "[]"))
    except (ValueError, AttributeError):
        return answer.log


def _fail(folder: Path, made: Push) -> None:
    write_push(folder, dataclasses.replace(made, state="failed"))
