"""A submission is sent once, its score waited for and written down."""

import hashlib
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.files import shown
from foldwise.kaggle import client, log
from foldwise.kaggle.client import Kaggle, Refused, Unanswered
from foldwise.kaggle.fetch import no_access
from foldwise.kaggle.log import Entry

LOOKS = (2.0, 5.0, 15.0)  # seconds before each look for a submission whose answer was lost
POLL = (2.0, 60.0)  # seconds between two looks at the score: at first, and at most
PAGE = 100  # submissions in a look: the newest
Send = Callable[[Entry], int]  # gives the submission's number


@dataclass(frozen=True)
class Sending:
    """What a row of the log says of a submission before it is sent."""

    competition: str
    run: str
    sha256: str
    recipe_hash: str
    cv: str
    message: str

    def entry(self) -> Entry:
        """A new row. The mark in its message is how it is found again among the sent ones."""
        message = f"{' '.join(self.message.split())} [fw-{secrets.token_hex(4)}]".strip()
        return {
            "time": log.now(), "competition": self.competition, "run": self.run,
            "file_sha256": self.sha256, "recipe_hash": self.recipe_hash, "cv": self.cv,
            "public": "", "private": "", "status": "sending", "ref": "", "message": message,
        }  # fmt: skip


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def submit_file(kaggle: Kaggle, path: Path, sending: Sending, again: bool, minutes: float) -> Entry:
    """Send a file and wait for its score; the row of the log that it ends with.

    A file that was sent and has no score yet is not sent again, but waited for. Raises
    FoldwiseError: sent before and scored (unless ``again``), no quota, refused, no answer, an
    error in place of a score, and no score within ``minutes``.
    """

    def prepare() -> Send:
        token = _upload(kaggle, path, sending.competition)
        group = ("competitions", "competition_api_client", "create_submission")

        def send(entry: Entry) -> int:
            request = _submission(sending.competition, token, entry["message"])
            return kaggle.tell("the submission", kaggle.rpc, *group, request).ref

        return send

    return _submit(kaggle, sending, prepare, again, minutes)


def submit_kernel(
    kaggle: Kaggle, kernel: str, version: int, sending: Sending, again: bool, minutes: float
) -> Entry:
    """As submit_file, with the output submission.csv of a kernel's version."""

    def send(entry: Entry) -> int:
        call = kaggle.api.competition_submit_code
        arguments = ("submission.csv", entry["message"], sending.competition, kernel, version)
        return kaggle.tell("the submission", call, *arguments).ref

    return _submit(kaggle, sending, lambda: send, again, minutes)


def _submit(
    kaggle: Kaggle, sending: Sending, prepare: Callable[[], Send], again: bool, minutes: float
) -> Entry:
    earlier = [
        row for row in log.entries(sending.competition) if row["file_sha256"] == sending.sha256
    ]
    entry = next((row for row in earlier if row["status"] in ("sending", "pending")), None)
    if entry and (entry["status"] == "pending" or find(kaggle, entry)):  # it was broken off
        print(f"{entry['run']} was sent before; waiting for its score", file=sys.stderr)
        return _wait(kaggle, entry, minutes)
    scored = [row for row in earlier if row["status"] == "complete"]
    if scored and not again:
        raise FoldwiseError(
            f"{sending.competition}: this very submission was sent {scored[-1]['time']} as "
            f"{scored[-1]['ref']} and scored {scored[-1]['public']}: again=true sends it anew"
        )
    left = _refuse_over_quota(kaggle, sending.competition)
    send = prepare()
    entry = entry or sending.entry()
    log.record(entry)
    try:
        ref = _once(kaggle, entry, send)
    except Refused as error:
        log.forget(entry)
        raise _with_advice(sending.competition, error) from error
    entry = entry | {"ref": str(ref), "status": "pending"}
    log.record(entry)
    print(f"sent to {sending.competition} as {ref} {left}; waiting for its score", file=sys.stderr)
    return _wait(kaggle, entry, minutes)


def _once(kaggle: Kaggle, entry: Entry, send: Callable[[Entry], int]) -> int:
    """The submission's number. Where no answer comes, it is looked for before another try."""
    for pause in (*client.PAUSES, None):
        try:
            return send(entry)
        except Unanswered as error:
            found = _looked_for(kaggle, entry, error)
            if found:
                return int(found.ref)
            if pause is None:
                raise Unanswered(
                    f"{error}; Kaggle's list does not show it: the same command looks again first"
                ) from error
            time.sleep(pause)
    raise AssertionError


def _looked_for(kaggle: Kaggle, entry: Entry, error: Unanswered) -> Any:
    """A submission that may have arrived, or None: the list may be a little behind."""
    for wait in LOOKS:
        time.sleep(wait)
        try:
            found = find(kaggle, entry)
        except Unanswered:
            raise Unanswered(
                f"{error}; nor can be seen whether it arrived: the same command looks for it first"
            ) from error
        if found:
            return found
    return None


def find(kaggle: Kaggle, entry: Entry) -> Any:
    """The submission on Kaggle that carries the mark of ``entry``, or None."""
    slug, mark = entry["competition"], entry["message"].rpartition("[")[2]
    try:
        sent = kaggle.ask(
            f"the submissions to {slug}", kaggle.api.competition_submissions, slug, page_size=PAGE
        )
    except Refused as error:
        raise no_access(slug, error) from error
    return next((s for s in sent or [] if s and mark in (s.description or "")), None)


def _wait(kaggle: Kaggle, entry: Entry, minutes: float) -> Entry:
    """The row with the score, written down. Raises FoldwiseError for an error in its place."""
    end, pause = time.monotonic() + 60 * minutes, POLL[0]
    while True:
        entry = updated(entry, find(kaggle, entry))
        log.record(entry)
        if entry["status"] == "complete":
            return entry
        if entry["status"].startswith("error"):
            raise FoldwiseError(
                f"{entry['competition']}: Kaggle gave submission {entry['ref']} no score, "
                f"{entry['status']}; mend that, then send it again"
            )
        if time.monotonic() + pause > end:
            raise FoldwiseError(
                f"{entry['competition']}: submission {entry['ref']} has no score after "
                f"{minutes:g} minutes: the same command goes on waiting, and sends nothing again"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, POLL[1])


def updated(entry: Entry, found: Any) -> Entry:
    """The row with what Kaggle's list says of it; complete without a score is an error too."""
    if found is None:
        return entry
    state = found.status.name
    entry = entry | {"ref": str(found.ref), "status": "pending"}
    if state == "COMPLETE" and found.public_score:
        scores = {"public": found.public_score, "private": found.private_score or ""}
        return entry | scores | {"status": "complete"}
    if state in ("COMPLETE", "ERROR"):
        reason = " ".join((found.error_description or "no reason is given").split())
        return entry | {"status": f"error: {reason}"}
    return entry


def _upload(kaggle: Kaggle, path: Path, slug: str) -> str:
    """The token of the uploaded file. Until it is handed in, nothing counts: it may be repeated."""
    from kaggle.api.kaggle_api_extended import ResumableUploadResult
    from kagglesdk.competitions.types.competition_api_service import ApiStartSubmissionUploadRequest

    status, request = path.stat(), ApiStartSubmissionUploadRequest()
    request.competition_name, request.file_name = slug, path.name
    request.content_length = status.st_size
    request.last_modified_epoch_seconds = int(status.st_mtime)
    group = ("competitions", "competition_api_client", "start_submission_upload")
    for pause in (*client.PAUSES, None):
        place = kaggle.ask("the upload", kaggle.rpc, *group, request)
        with client.quiet():
            ended = kaggle.api.upload_complete(str(path), place.create_url, quiet=True)
        if ended == ResumableUploadResult.COMPLETE:
            return place.token
        if pause is None:
            break
        time.sleep(pause)
    raise FoldwiseError(
        f"{shown(path)} could not be uploaded, in {len(client.PAUSES) + 1} tries; nothing was "
        "submitted: repeat the command later"
    )


def _submission(slug: str, token: str, message: str) -> Any:
    from kagglesdk.competitions.types.competition_api_service import ApiCreateSubmissionRequest

    request = ApiCreateSubmissionRequest()
    request.competition_name, request.blob_file_tokens = slug, token
    request.submission_description = message
    return request


def _refuse_over_quota(kaggle: Kaggle, slug: str) -> str:
    """What may still be sent today, in words. Raises FoldwiseError where that is nothing."""
    try:
        limits = kaggle.ask(
            f"the limits of {slug}", kaggle.api.competition_get_submission_limits, slug
        )
    except Refused as error:
        raise no_access(slug, error) from error
    if limits.num_allowed_now > 0 or not (limits.num_today or limits.num_total):
        return f"({limits.num_allowed_now - 1} more today)" if limits.num_allowed_now else ""
    if limits.limited_by_total:
        raise FoldwiseError(f"{slug}: all {limits.num_total} submissions of it are used up")
    raise FoldwiseError(
        f"{slug}: today's {limits.num_today} submissions are used up; nothing was sent: the next "
        f"can be sent from 00:00 UTC on, in {_until_midnight()}"
    )


def _until_midnight() -> str:
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = int((midnight - now).total_seconds()) // 60
    return f"{minutes // 60} h {minutes % 60} min"


def _with_advice(slug: str, error: Refused) -> FoldwiseError:
    if "Notebooks" in error.reason:
        return FoldwiseError(
            f"{error}: {slug} takes kernels only: ./run.sh kernel infer run=…, then kernel submit"
        )
    if error.status in (403, 404):
        return no_access(slug, error)
    return FoldwiseError(f"{error}; nothing was submitted")
