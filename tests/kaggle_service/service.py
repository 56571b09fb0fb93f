"""A small Kaggle: what the service keeps and how it decides. `server.py` gives it an HTTP face.

Names and shapes of requests and answers are those of the protocol (lowerCamelCase); what the real
service is known to say in a case is said here with its words.
"""

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kaggle_service import machine

Answer = dict[str, Any]
PAGE = 20
SOURCE_LIMIT = 1_000_000  # bytes of a kernel's source
GPU_SESSIONS = 2


class Refusal(Exception):
    """An answer that is no 200: in the shape that the service gives its errors."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        details = [{"@type": "ErrorInfo", "reason": reason}] if reason else []
        error = {"code": code, "message": message, "status": "FAILED", "details": details}
        self.code, self.body = code, {"error": error}


@dataclass
class Competition:
    """files: the data that people download; hidden: the same with the test set of the reruns."""

    slug: str
    files: Path
    score: Callable[[bytes], tuple[float, float]]  # submission.csv -> public, private
    hidden: Path | None = None
    score_hidden: Callable[[bytes], tuple[float, float]] | None = None
    entered: set[str] = field(default_factory=lambda: {"ann"})
    daily: int = 5
    notebooks_only: bool = False
    over: bool = False  # private scores are shown
    others: tuple[float, ...] = (0.5, 0.9)  # of the leaderboard

    def archive(self, without: str = "") -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(self.files.rglob("*")):
                if path.is_file() and path.name not in ("solution.csv", without):
                    info = zipfile.ZipInfo(str(path.relative_to(self.files)), (2026, 1, 2, 3, 4, 6))
                    file.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
        return data.getvalue()


@dataclass
class Dataset:
    """versions: of each, {file name: its bytes}."""

    owner: str
    slug: str
    private: bool
    versions: list[dict[str, bytes]]
    ready_at: float = 0.0

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.slug}"


@dataclass
class Session:
    """One run of one version of a kernel."""

    version: int
    request: Answer
    folder: Path  # what it writes
    status: str = "QUEUED"
    failure: str = ""
    log: str = ""


@dataclass
class Kernel:
    owner: str
    slug: str
    title: str
    sessions: list[Session] = field(default_factory=list)


class Kaggle:
    """The whole of it. Its switches are attributes that a test sets."""

    def __init__(self, folder: Path, base: str) -> None:
        """``folder``: the service's disk; ``base``: of the addresses of its storage."""
        self.folder, self.base = folder, base
        self.keys = {"ann": "0123456789abcdef0123456789abcdef", "bob": "b" * 32}
        self.tokens = {"KGAT_" + "7" * 32: "ann"}
        self.competitions: dict[str, Competition] = {}
        self.datasets: dict[str, Dataset] = {}
        self.kernels: dict[str, Kernel] = {}
        self.submissions: list[Answer] = []
        self.blobs: dict[str, bytes] = {}
        self.names: dict[str, str] = {}  # of the blobs' files
        self.served: dict[str, bytes] = {}  # by the path of a signed address
        self.lock = threading.RLock()
        self.threads: list[threading.Thread] = []
        # Switches
        self.never_scored = False
        self.scoring_error = ""  # said of every submission
        self.lose_member = ""  # a file of competitions that is not in what people download
        self.drop_file = ""  # a blob of this name is not in the data set that is made
        self.slow_datasets = 0.0  # seconds until a data set is ready
        self.push_error = ""  # said with 200, as the service says quotas
        self.reject_sources = False
        self.session_ends = ""  # ERROR, or RUNNING: the kernels are not run, that is their status
        self.lose_output = ""  # a file that the kernel wrote and that is not kept
        self.damage_output = ""  # a file of which another byte is kept
        self.flat_mounts = False
        self.said: list[str] = []  # what a session that runs has printed by now
        # Instead of running a kernel: what its source leaves.
        self.leaves: Callable[[str], dict[str, bytes]] | None = None

    # --- who asks -----------------------------------------------------------------------------

    def user(self, kind: str, credentials: str) -> str:
        """The user of an Authorization header. Raises Refusal: 401."""
        if kind == "Basic":
            name, _, key = credentials.partition(":")
            if key and self.keys.get(name) == key:
                return name
        elif kind == "Bearer" and credentials in self.tokens:
            return self.tokens[credentials]
        raise Refusal(401, "Unauthenticated")

    def call(self, method: str, request: Answer, user: str) -> Answer:
        function = getattr(self, f"do_{method}", None)
        if function is None:
            raise Refusal(404, f"no method {method}")
        with self.lock:
            return function(request, user)

    def signed(self, name: str, data: bytes) -> Answer:
        """An answer that sends on to storage, at an address that carries no credentials."""
        path = f"/signed/{hashlib.sha256(data).hexdigest()[:16]}/{name}"
        self.served[path] = data
        return {"redirect": f"{self.base}{path}?X-Goog-Signature=0"}

    # --- accounts -----------------------------------------------------------------------------

    def do_IntrospectToken(self, request: Answer, user: str) -> Answer:
        name = self.tokens.get(request["token"])
        return {"active": bool(name), "username": name or ""}

    # --- competitions -------------------------------------------------------------------------

    def competition(self, request: Answer, permission: str = "get") -> Competition:
        found = self.competitions.get(request["competitionName"])
        if found is None:
            raise Refusal(403, f"Permission 'competitions.{permission}' was denied")
        return found

    def entered(self, request: Answer, user: str) -> Competition:
        found = self.competition(request, "participate")
        if user not in found.entered:
            raise Refusal(403, "Permission 'competitions.participate' was denied")
        return found

    def do_ListCompetitions(self, request: Answer, user: str) -> Answer:
        words = request.get("search", "")
        listed = []
        for found in self.competitions.values():
            if words in found.slug:
                entered = user in found.entered
                mine = self.best(found, user)
                entry = {
                    "ref": f"https://www.kaggle.com/competitions/{found.slug}",
                    "title": found.slug.title(),
                    "teamCount": len(found.others) + (mine is not None),
                    "userHasEntered": entered,
                    "maxDailySubmissions": found.daily,
                    "isKernelsSubmissionsOnly": found.notebooks_only,
                    "deadline": "2030-01-31T23:59:00.000Z",
                }
                if mine is not None:
                    entry["userRank"] = 1 + sum(score > mine for score in found.others)
                listed.append(entry)
        return {"competitions": listed, "nextPageToken": ""}

    def best(self, competition: Competition, user: str) -> float | None:
        scores = [
            float(s["publicScore"])
            for s in self.submissions
            if s["competition"] == competition.slug and s["user"] == user and s["publicScore"]
        ]
        return max(scores, default=None)

    def do_ListDataFiles(self, request: Answer, user: str) -> Answer:
        found = self.competition(request)
        with zipfile.ZipFile(io.BytesIO(found.archive())) as file:
            entries = [
                {"name": i.filename, "totalBytes": i.file_size,
                 "creationDate": "2026-01-02T03:04:06.000Z"}
                for i in file.infolist()
            ]  # fmt: skip
        return paged(request, "files", entries)

    def do_DownloadDataFiles(self, request: Answer, user: str) -> Answer:
        found = self.competition(request)
        if user not in found.entered:
            raise Refusal(
                403,
                "You must accept this competition's rules before you'll be able to download files.",
                "RulesAcceptanceRequired",
            )
        return self.signed("archive.zip", found.archive(self.lose_member))

    def do_GetLeaderboard(self, request: Answer, user: str) -> Answer:
        found = self.competition(request)
        mine = self.best(found, user)
        scores = [(f"team {n}", score) for n, score in enumerate(found.others)]
        scores += [(user, mine)] if mine is not None else []
        scores.sort(key=lambda pair: -pair[1])
        entries = [
            {"teamId": n + 1, "teamName": name, "score": f"{score:.5f}",
             "submissionDate": "2026-01-02T03:04:06.000Z"}
            for n, (name, score) in enumerate(scores)
        ]  # fmt: skip
        return paged(request, "submissions", entries)

    def do_GetSubmissionLimits(self, request: Answer, user: str) -> Answer:
        found = self.entered(request, user)
        used = self.used_today(found, user)
        return {
            "numToday": used, "numTotal": used, "numAllowedNow": max(0, found.daily - used),
            "limitedByTotal": False,
        }  # fmt: skip

    def used_today(self, competition: Competition, user: str) -> int:
        return sum(
            s["competition"] == competition.slug and s["user"] == user and s["status"] != "ERROR"
            for s in self.submissions
        )

    def do_StartSubmissionUpload(self, request: Answer, user: str) -> Answer:
        self.entered(request, user)
        return self.new_blob(request["fileName"])

    def do_CreateSubmission(self, request: Answer, user: str) -> Answer:
        found = self.entered(request, user)
        if found.notebooks_only:
            raise Refusal(
                400,
                "Submission not allowed:  This competition only accepts Submissions from "
                'Notebooks. Submission files must be named "submission.csv"',
            )
        self.refuse_over_quota(found, user)
        token = request["blobFileTokens"]
        if token not in self.blobs:
            raise Refusal(400, "the file was not uploaded")
        return self.submitted(found, user, request, self.names[token], self.blobs[token])

    def refuse_over_quota(self, found: Competition, user: str) -> None:
        if self.used_today(found, user) >= found.daily:
            raise Refusal(
                400,
                "Submission not allowed:  Your team has used its daily Submission allowance "
                f"({found.daily}) today, please try again tomorrow UTC (3.2 hours from now).",
            )

    def submitted(
        self, found: Competition, user: str, request: Answer, name: str, data: bytes
    ) -> Answer:
        entry = self.entry(found, user, request, name)
        entry["totalBytes"] = len(data)
        self.submissions.append(entry)
        self.grade(found, entry, data)
        return {"message": f"Successfully submitted to {found.slug.title()}", "ref": entry["ref"]}

    def entry(self, found: Competition, user: str, request: Answer, name: str) -> Answer:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        return {
            "ref": 1000 + len(self.submissions), "fileName": name, "date": now,
            "description": request.get("submissionDescription", ""), "status": "PENDING",
            "publicScore": "", "privateScore": "", "errorDescription": "", "totalBytes": 0,
            "competition": found.slug, "user": user,
        }  # fmt: skip

    def grade(
        self,
        found: Competition,
        entry: Answer,
        data: bytes,
        score: Callable[[bytes], tuple[float, float]] | None = None,
    ) -> None:
        if self.never_scored:
            return
        if self.scoring_error:
            entry["status"], entry["errorDescription"] = "ERROR", self.scoring_error
            return
        try:
            public, private = (score or found.score)(data)
        except (ValueError, KeyError) as error:
            entry["status"], entry["errorDescription"] = "ERROR", f"Evaluation error: {error}"
            return
        entry |= {"status": "COMPLETE", "publicScore": f"{public:.5f}"}
        entry |= {"privateScore": f"{private:.5f}" if found.over else ""}

    def do_CreateCodeSubmission(self, request: Answer, user: str) -> Answer:
        found = self.entered(request, user)
        self.refuse_over_quota(found, user)
        kernel = self.kernels.get(f"{request['kernelOwner']}/{request['kernelSlug']}")
        session = kernel and next(
            (s for s in kernel.sessions if s.version == request.get("kernelVersion")), None
        )
        if kernel is None or session is None or session.status != "COMPLETE":
            raise Refusal(403, "Permission 'kernelSessions.get' was denied")
        if not (session.folder / request["fileName"]).is_file():
            raise Refusal(400, f"the kernel has no output {request['fileName']}")
        entry = self.entry(found, user, request, request["fileName"])
        self.submissions.append(entry)
        self.begin(self.rerun, found, kernel, session, entry)
        return {"message": f"Successfully submitted to {found.slug.title()}", "ref": entry["ref"]}

    def rerun(self, found: Competition, kernel: Kernel, session: Session, entry: Answer) -> None:
        """As the service does: once more, with the hidden test set, without the internet."""
        again = Session(session.version, session.request, self.disk())
        self.run(kernel, again, rerun=True)
        made = again.folder / entry["fileName"]
        with self.lock:
            if again.status != "COMPLETE" or not made.is_file():
                entry["status"] = "COMPLETE"  # and no score: so the service says it
                entry["errorDescription"] = "Notebook Threw Exception"
            else:
                entry["totalBytes"] = made.stat().st_size
                self.grade(found, entry, made.read_bytes(), found.score_hidden)

    def do_ListSubmissions(self, request: Answer, user: str) -> Answer:
        found = self.entered(request, user)
        mine = [
            {k: v for k, v in s.items() if k not in ("competition", "user")}
            for s in reversed(self.submissions)
            if s["competition"] == found.slug and s["user"] == user
        ]
        return paged(request, "submissions", mine)

    # --- blobs and data sets ------------------------------------------------------------------

    def new_blob(self, name: str) -> Answer:
        token = f"blob-{len(self.names)}"
        self.names[token] = name
        return {"token": token, "createUrl": f"{self.base}/upload/{token}?upload_id=0"}

    def do_StartBlobUpload(self, request: Answer, user: str) -> Answer:
        return self.new_blob(request["name"])

    def dataset(self, request: Answer, user: str) -> Dataset:
        found = self.datasets.get(f"{request['ownerSlug']}/{request['datasetSlug']}")
        if found is None or (found.private and found.owner != user):
            raise Refusal(403, "Permission 'datasets.get' was denied")
        return found

    def files_of(self, request: list[Answer]) -> dict[str, bytes]:
        files = {self.names[f["token"]]: self.blobs[f["token"]] for f in request}
        files.pop(self.drop_file, None)
        return files

    def do_CreateDataset(self, request: Answer, user: str) -> Answer:
        if request["ownerSlug"] != user:
            raise Refusal(403, "Permission 'datasets.create' was denied")
        ref = f"{user}/{request['slug']}"
        if ref in self.datasets:
            return {"status": "error", "error": f"The requested title is already in use: {ref}"}
        made = Dataset(
            user, request["slug"], request.get("isPrivate", False),
            [self.files_of(request["files"])], time.monotonic() + self.slow_datasets,
        )  # fmt: skip
        self.datasets[ref] = made
        return {"ref": f"/{ref}", "url": f"https://www.kaggle.com/datasets/{ref}", "status": "ok"}

    def do_CreateDatasetVersion(self, request: Answer, user: str) -> Answer:
        found = self.dataset(request, user)
        if found.owner != user:
            raise Refusal(403, "Permission 'datasets.update' was denied")
        found.versions.append(self.files_of(request["body"]["files"]))
        found.ready_at = time.monotonic() + self.slow_datasets
        return {"ref": f"/{found.ref}", "status": "ok"}

    def do_GetDatasetStatus(self, request: Answer, user: str) -> Answer:
        found = self.dataset(request, user)
        ready = time.monotonic() >= found.ready_at
        return {"status": "READY" if ready else "BLOBS_RECEIVED"}

    def do_GetDataset(self, request: Answer, user: str) -> Answer:
        found = self.dataset(request, user)
        return {"ref": found.ref, "currentVersionNumber": len(found.versions)}

    def do_ListDatasetFiles(self, request: Answer, user: str) -> Answer:
        found = self.dataset(request, user)
        entries = [
            {"name": name, "totalBytes": len(data), "creationDate": "2026-01-02T03:04:06.000Z"}
            for name, data in sorted(found.versions[-1].items())
        ]
        return paged(request, "datasetFiles", entries)

    # --- kernels ------------------------------------------------------------------------------

    def do_SaveKernel(self, request: Answer, user: str) -> Answer:
        owner, _, _ = request["slug"].partition("/")
        if owner != user:
            raise Refusal(403, "Permission 'kernels.create' was denied")
        if len(request["text"].encode()) > SOURCE_LIMIT:
            raise Refusal(400, "The kernel source must be less than 1 megabytes in size.")
        if self.push_error:
            return {"error": self.push_error, "ref": "", "versionNumber": 0}
        running = sum(
            s.status in ("QUEUED", "RUNNING") and bool(s.request.get("enableGpu"))
            for k in self.kernels.values()
            for s in k.sessions
        )
        if request.get("enableGpu") and running >= GPU_SESSIONS:
            return {"error": f"Maximum batch GPU session count of {GPU_SESSIONS} reached."}
        # A kernel is named after its title, whatever its id says.
        slug = re.sub(r"[^a-z0-9]+", "-", request["newTitle"].lower()).strip("-")
        kernel = self.kernels.setdefault(f"{user}/{slug}", Kernel(user, slug, request["newTitle"]))
        session = Session(len(kernel.sessions) + 1, request, self.disk())
        kernel.sessions.append(session)
        known = [] if self.reject_sources else self.datasets
        wrong = [ref for ref in request.get("datasetDataSources", []) if ref not in known]
        unknown = [
            slug for slug in request.get("competitionDataSources", [])
            if slug not in self.competitions
        ]  # fmt: skip
        self.begin(self.run, kernel, session)
        return {
            "ref": f"/code/{user}/{slug}", "url": f"https://www.kaggle.com/code/{user}/{slug}",
            "versionNumber": session.version, "invalidDatasetSources": wrong,
            "invalidCompetitionSources": unknown, "invalidKernelSources": [],
            "invalidModelSources": [], "invalidTags": [],
        }  # fmt: skip

    def kernel(self, owner: str, slug: str, user: str) -> Kernel:
        found = self.kernels.get(f"{owner}/{slug}")
        if found is None or found.owner != user:
            raise Refusal(403, "Permission 'kernels.get' was denied")
        return found

    def do_GetKernel(self, request: Answer, user: str) -> Answer:
        found = self.kernel(request["userName"], request["kernelSlug"], user)
        last = found.sessions[-1]
        return {
            "metadata": {
                "ref": f"{found.owner}/{found.slug}", "title": found.title, "slug": found.slug,
                "currentVersionNumber": last.version, "isPrivate": last.request["isPrivate"],
            },
            "blob": {"source": last.request["text"], "language": "python", "slug": found.slug,
                     "kernelType": last.request["kernelType"]},
        }  # fmt: skip

    def do_GetKernelSessionStatus(self, request: Answer, user: str) -> Answer:
        last = self.kernel(request["userName"], request["kernelSlug"], user).sessions[-1]
        return {"status": last.status, "failureMessage": last.failure}

    def lines(self, owner: str, slug: str, user: str) -> Iterator[str]:
        """The stream of a session's log: what it has printed, then what it prints, to its end."""
        last = self.kernel(owner, slug, user).sessions[-1]
        sent = 0
        while True:
            over = last.status != "RUNNING"
            yield from self.said[sent:]
            sent = len(self.said)
            if over:
                return
            time.sleep(0.01)

    def do_ListKernelSessionOutput(self, request: Answer, user: str) -> Answer:
        last = self.kernel(request["userName"], request["kernelSlug"], user).sessions[-1]
        entries = [
            {"fileName": str(p.relative_to(last.folder)),
             "url": self.signed(p.name, p.read_bytes())["redirect"]}
            for p in sorted(last.folder.rglob("*")) if p.is_file()
        ]  # fmt: skip
        return {**paged(request, "files", entries), "log": last.log}

    def do_DownloadKernelOutput(self, request: Answer, user: str) -> Answer:
        found = self.kernel(request["ownerSlug"], request["kernelSlug"], user)
        wanted = request.get("versionNumber", found.sessions[-1].version)
        session = next((s for s in found.sessions if s.version == wanted), None)
        path = session and session.folder / request["filePath"]
        if path is None or not path.is_file():
            raise Refusal(404, "Not found")
        return self.signed(path.name, path.read_bytes())

    def disk(self) -> Path:
        folder = self.folder / "sessions" / str(len(list(self.folder.glob("sessions/*"))))
        folder.mkdir(parents=True)
        return folder

    def begin(self, function: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def run(self, kernel: Kernel, session: Session, rerun: bool = False) -> None:
        """Run a version as the service does, to an end in any case."""
        try:
            self.run_to_the_end(session, rerun)
        except Exception as error:
            session.status, session.failure = "ERROR", repr(error)

    def run_to_the_end(self, session: Session, rerun: bool) -> None:
        """In folders like the service's own, with or without network."""
        if self.session_ends:
            session.status = self.session_ends
            if session.status == "ERROR":
                session.failure = "Your notebook tried to allocate more memory than is available."
                session.log = '[{"stream_name":"stderr","time":1,"data":"Killed\\n"}]'
            return
        session.status = "RUNNING"
        if self.leaves:
            for name, data in self.leaves(session.request["text"]).items():
                (session.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (session.folder / name).write_bytes(data)
            self.spoil(session.folder)
            session.status = "COMPLETE"
            return
        mounts: dict[str, Path | dict[str, bytes]] = {}
        for slug in session.request.get("competitionDataSources", []):
            found = self.competitions[slug]
            nested = slug if self.flat_mounts else f"competitions/{slug}"
            mounts[nested] = found.hidden if rerun and found.hidden else found.files
        for ref in session.request.get("datasetDataSources", []):
            if ref in self.datasets and not self.reject_sources:
                nested = self.datasets[ref].slug if self.flat_mounts else f"datasets/{ref}"
                mounts[nested] = self.datasets[ref].versions[-1]
        ended = machine.run(
            session.request["text"], session.request["kernelType"], mounts, session.folder,
            internet=bool(session.request.get("enableInternet")), rerun=rerun,
        )  # fmt: skip
        with self.lock:
            self.spoil(session.folder)
            session.log = ended.log
            session.failure = "" if ended.code == 0 else f"exit code {ended.code}"
            session.status = "COMPLETE" if ended.code == 0 else "ERROR"

    def spoil(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            if self.lose_output and path.match(self.lose_output):
                path.unlink()
            elif self.damage_output and path.match(self.damage_output):
                path.write_bytes(path.read_bytes()[:-1] + b"?")

    def close(self) -> None:
        for thread in self.threads:
            thread.join(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)


def paged(request: Answer, name: str, entries: list[Answer]) -> Answer:
    start, size = int(request.get("pageToken") or 0), request.get("pageSize") or PAGE
    after = start + size
    token = str(after) if after < len(entries) else ""
    return {name: entries[start:after], "nextPageToken": token}


def accuracy_on(solution: Path) -> Callable[[bytes], tuple[float, float]]:
    """Public and private accuracy of a submission, by a service that knows nothing of foldwise."""

    def score(data: bytes) -> tuple[float, float]:
        with solution.open() as file:
            truth = {row["id"]: row for row in csv.DictReader(file)}
        rows = {row["id"]: row["label"] for row in csv.DictReader(io.StringIO(data.decode()))}
        if set(rows) != set(truth):
            raise ValueError("Submission must have the ids of the solution")
        shares = []
        for part in ("Public", "Private"):
            ids = [name for name, row in truth.items() if row["Usage"] == part]
            right = sum(rows[name] == truth[name]["label"] for name in ids)
            shares.append(right / len(ids) if ids else 0.0)
        return shares[0], shares[1]

    return score


def sources_of(text: str) -> bytes:
    """The archive in the source of a kernel, a notebook or a script, as it was pushed."""
    if text.startswith("{"):
        text = "".join(cell["source"] for cell in json.loads(text)["cells"])
    found = re.search(r'ARCHIVE = """\n(.*?)"""', text, re.DOTALL)
    assert found
    return base64.b85decode(found[1].replace("\n", ""))
