"""run.sh, copied into a clone with an empty package and stand-ins for pip and uv: no network.

The stand-ins make real environments and write down what they were asked for.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
TOOLS = ("bash", "env", "readlink", "cp", "mv", "rm", "sleep", "flock")  # all that run.sh may call

MAIN = """\
import json, os, signal, sys, time
if sys.argv[1:2] == ["exit"]:
    sys.exit(int(sys.argv[2]))
if sys.argv[1:2] == ["wait"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(os.getpid(), flush=True)
    time.sleep(30)
names = "NO_ALBUMENTATIONS_UPDATE", "PYTHONPATH"
print(json.dumps({
    "prefix": sys.prefix, "code": os.path.dirname(os.path.abspath(__file__)), "cwd": os.getcwd(),
    "args": sys.argv[1:], **{name: os.environ.get(name) for name in names}}))
"""

PIP = """\
import os, sys, time
with open(os.environ["LOG"], "a") as log:
    print("pip", *sys.argv[1:], file=log)
mode = os.environ.get("INSTALLER", "")
if mode == "fail":
    sys.exit("ERROR: no matching distribution")
time.sleep({"hang": 30, "slow": 0.3}.get(mode, 0))
with open(os.path.join(sys.prefix, "pins"), "w") as file:
    file.write(open(sys.argv[-1]).read())
"""

PYTHON_STUB = f"""\
#!/usr/bin/env bash
set -e
if [[ " $* " == *" -m venv "* ]]; then
  echo "venv" >>"$LOG"
  if [[ ${{INSTALLER-}} == no-venv ]]; then echo "ensurepip is not available" >&2; exit 1; fi
  "{PYTHON}" -m venv --without-pip "${{@: -1}}"
  cp -r "$STUBS/pip" "${{@: -1}}"/lib/python3*/site-packages/
else
  exec "{PYTHON}" "$@"
fi
"""

UV_STUB = f"""\
#!/usr/bin/env bash
set -e
echo "uv $*" >>"$LOG"
if [[ $1 == venv ]]; then
  exec "{PYTHON}" -m venv --without-pip "${{@: -1}}"
fi
[[ "$1 $2 $3" == "pip install --python" ]]
cp "${{@: -1}}" "${{4%/bin/python}}/pins"
"""


class Clone:
    """A clone of the project, the commands on its PATH, and what its installers were asked."""

    def __init__(self, folder: Path):
        self.root = folder / "my clone"
        package = self.root / "src/foldwise"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(MAIN)
        shutil.copy(ROOT / "src/foldwise/floors.py", package)
        shutil.copy(ROOT / "run.sh", self.root)
        (self.root / "pyproject.toml").write_text(
            '[project]\nrequires-python = ">=3.11"\ndependencies = ["thing>=2.1", "other"]\n'
        )
        self.pins = self.root / "requirements.txt"
        self.pins.write_text("# the first pins\n")
        self.venv = self.root / ".venv"

        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            if path := shutil.which(tool):
                (self.bin / tool).symlink_to(path)
        self.command("python3", PYTHON_STUB)
        (folder / "pip").mkdir()
        (folder / "pip/__main__.py").write_text(PIP)
        self.log = folder / "log"
        self.log.touch()
        self.env = {"PATH": str(self.bin), "LOG": str(self.log), "STUBS": str(folder)}
        self.env["HOME"] = str(folder)

    def command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, *args: object, script: Path | None = None, cwd: Path | None = None, **env: str):
        return subprocess.Popen(
            [script or self.root / "run.sh", *map(str, args)],
            cwd=cwd or self.root,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, as in a terminal
        )

    def run(self, *args: object, **options) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def told(self, *args: object, **options) -> dict:
        """What the package saw, of a call that must succeed without a word about environments."""
        result = self.run(*args, **options)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def asked(self) -> list[str]:
        """What the installers were asked for since the last time, by their first word."""
        words = [line.split()[0] for line in self.log.read_text().splitlines()]
        self.log.write_text("")
        return words

    def waits_for(self, word: str) -> None:
        deadline = time.monotonic() + 20
        while word not in self.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


@pytest.fixture
def ready(clone):
    """A clone whose .venv is installed."""
    assert clone.run("help").returncode == 0
    assert clone.asked() == ["venv", "pip"]
    return clone


def environment(folder: Path, **versions: str) -> Path:
    """An environment that has packages of these versions, as far as their metadata goes."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    for name, version in versions.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


# --- installing -----------------------------------------------------------------------------------


def test_the_first_call_installs_and_the_next_is_silent(clone):
    first = clone.run("help")
    assert first.returncode == 0
    assert first.stderr.splitlines() == [
        "run.sh: installing the packages of requirements.txt into .venv:"
        " this takes minutes, and happens once"
    ]
    assert json.loads(first.stdout)["prefix"] == str(clone.venv)
    assert clone.asked() == ["venv", "pip"]
    assert (clone.venv / "pins").read_text() == clone.pins.read_text()

    assert clone.told("help")["prefix"] == str(clone.venv)
    assert clone.asked() == []


def test_uv_is_used_where_it_is_installed(clone):
    clone.command("uv", UV_STUB)
    assert clone.run("help").returncode == 0
    assert clone.asked() == ["uv", "uv"]
    assert (clone.venv / "pins").read_text() == clone.pins.read_text()
    assert clone.told("help")["prefix"] == str(clone.venv)


def test_uv_supplies_a_python_where_there_is_none(clone):
    clone.command("uv", UV_STUB)
    (clone.bin / "python3").unlink()
    assert clone.run("help").returncode == 0
    assert "--python >=3.11" in clone.log.read_text()


def test_real_pip_and_venv(clone):
    (clone.bin / "python3").unlink()
    (clone.bin / "python3.11").symlink_to(PYTHON)
    result = clone.run("help")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["prefix"] == str(clone.venv)
    assert clone.told("help")["prefix"] == str(clone.venv)


def leave_no_stamp(venv: Path) -> None:
    (venv / "installed.txt").unlink()


def lose_the_interpreter(venv: Path) -> None:
    for name in ("python", "python3"):
        (venv / "bin" / name).unlink(missing_ok=True)
    (venv / "bin/python").symlink_to("/nowhere/python3")


def leave_half_a_folder(venv: Path) -> None:
    shutil.rmtree(venv)
    (venv / "bin").mkdir(parents=True)


def leave_a_file(venv: Path) -> None:
    shutil.rmtree(venv)
    venv.touch()


def leave_a_venv_without_pip(venv: Path) -> None:
    leave_no_stamp(venv)
    (pip,) = venv.glob("lib/python3*/site-packages/pip")
    shutil.rmtree(pip)


@pytest.mark.parametrize(
    "damage",
    [
        leave_no_stamp,
        lose_the_interpreter,
        leave_half_a_folder,
        leave_a_file,
        leave_a_venv_without_pip,
    ],
)
def test_a_broken_environment_is_made_again(ready, damage):
    damage(ready.venv)
    result = ready.run("help")
    assert (result.returncode, ready.asked()) == (0, ["venv", "pip"])
    assert ready.told("help")["prefix"] == str(ready.venv)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_install_is_finished(clone, kill):
    process = clone.start("help", INSTALLER="hang")
    clone.waits_for("pip")
    os.killpg(process.pid, kill)
    _, err = process.communicate(timeout=20)
    if kill == signal.SIGINT:
        assert process.returncode == 128 + kill
        assert err.endswith("run.sh: interrupted: the next call finishes the installation\n")
    clone.asked()
    assert clone.run("help").returncode == 0
    assert clone.asked() == ["venv", "pip"]
    assert clone.told("help")["prefix"] == str(clone.venv)


def test_changed_pins_are_installed(ready):
    kept = ready.venv / "kept"
    kept.touch()
    ready.pins.write_text("# the second pins\n")
    assert ready.run("help").returncode == 0
    assert ready.asked() == ["pip"]  # into the same environment
    assert kept.exists()
    assert (ready.venv / "pins").read_text() == "# the second pins\n"
    ready.told("help")


def test_a_broken_off_change_is_made_from_scratch(ready):
    ready.pins.write_text("# the second pins\n")
    assert ready.run("help", INSTALLER="fail").returncode == 1
    ready.pins.write_text("# the first pins\n")  # what .venv had, before pip touched it
    ready.asked()
    assert ready.run("help").returncode == 0
    assert ready.asked() == ["venv", "pip"]


@pytest.mark.parametrize("why", ["fail", "no-venv"])
def test_a_failed_install_says_what_to_do(clone, why):
    result = clone.run("help", INSTALLER=why)
    assert (result.returncode, result.stdout) == (1, "")
    *_, last = result.stderr.splitlines()
    assert last.startswith("run.sh: ") and last.endswith("run this again")
    assert result.stderr.count("run.sh: ") == 2  # the one at the start, and this one
    assert clone.run("help").returncode == 0


def test_no_python(clone):
    clone.command("python3", "#!/usr/bin/env bash\nexit 1\n")  # too old, or a shim of nothing
    result = clone.run("help")
    assert result.returncode == 1
    assert result.stderr.splitlines()[1:] == [
        "run.sh: no Python of 3.11 or later was found: install one, or uv, and run this again"
    ]


@pytest.mark.skipif(not shutil.which("flock"), reason="without flock there is no lock")
def test_two_first_calls_at_once(clone):
    calls = [clone.start("help", INSTALLER="slow") for _ in range(2)]
    errors = [call.communicate(timeout=60)[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert clone.asked() == ["venv", "pip"]
    assert sorted(len(error.splitlines()) for error in errors) == [1, 1]


# --- where it is called from ----------------------------------------------------------------------


def test_from_another_folder(ready, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "foldwise").mkdir(parents=True)  # in the way of the import, if it could be
    (elsewhere / "foldwise/__main__.py").write_text("raise SystemExit('the wrong package')")
    (elsewhere / "json.py").write_text("raise SystemExit('the wrong module')")
    told = ready.told("help", cwd=elsewhere)
    assert told["cwd"] == str(elsewhere)
    assert told["code"] == str(ready.root / "src/foldwise")


def test_through_symlinks(ready, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links/first").symlink_to("../my clone/run.sh")
    (tmp_path / "second").symlink_to("links/first")
    told = ready.told("help", script=tmp_path / "second", cwd=tmp_path)
    assert told["code"] == str(ready.root / "src/foldwise")
    assert told["prefix"] == str(ready.venv)


def test_a_copied_and_a_moved_clone(ready, tmp_path):
    for name, make in (("copied", shutil.copytree), ("moved", shutil.move)):
        options = {"symlinks": True} if make is shutil.copytree else {}
        make(ready.root, tmp_path / name, **options)
        told = ready.told("help", script=tmp_path / name / "run.sh", cwd=tmp_path)
        assert told["code"] == str(tmp_path / name / "src/foldwise")
        assert told["prefix"] == str(tmp_path / name / ".venv")
    assert ready.asked() == []


# --- which environment ----------------------------------------------------------------------------

ACTIVE = ["VIRTUAL_ENV", "CONDA_PREFIX", "KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"]


def activate(clone: Clone, variable: str, folder: Path) -> dict[str, str]:
    """The variables of a shell in which the environment is active."""
    value = str(folder) if variable in ("VIRTUAL_ENV", "CONDA_PREFIX") else "Interactive"
    return {variable: value, "PATH": f"{folder}/bin:{clone.bin}"}


@pytest.mark.parametrize("variable", ACTIVE)
def test_an_active_environment_that_meets_the_floors_is_used(clone, tmp_path, variable):
    folder = environment(tmp_path / "env", thing="2.1.0", other="0.1")
    assert clone.told("help", **activate(clone, variable, folder))["prefix"] == str(folder)
    assert not clone.venv.exists()


@pytest.mark.parametrize("variable", ACTIVE)
def test_one_that_does_not_is_not(clone, tmp_path, variable):
    clone.command("uv", UV_STUB)
    folder = environment(tmp_path / "env", thing="2.0.9")
    result = clone.run("help", **activate(clone, variable, folder))
    assert result.returncode == 0
    assert json.loads(result.stdout)["prefix"] == str(clone.venv)
    assert result.stderr.splitlines()[0] == (
        f"run.sh: {folder} is not used: thing>=2.1 wanted, 2.0.9 found; other wanted, none found"
    )


def test_the_reason_is_given_only_with_an_install(ready, tmp_path):
    folder = environment(tmp_path / "env", thing="2.0.9")
    assert ready.told("help", VIRTUAL_ENV=str(folder))["prefix"] == str(ready.venv)
    assert ready.told("help", VIRTUAL_ENV="/nowhere")["prefix"] == str(ready.venv)


def test_the_projects_own_environment_may_be_active(clone, tmp_path):
    # It is judged by its pins, not by the floors, which this one does not meet.
    (tmp_path / "link").symlink_to(clone.root)
    result = clone.run("help", VIRTUAL_ENV=str(tmp_path / "link/.venv"))
    assert result.returncode == 0 and "not used" not in result.stderr
    told = clone.told("help", VIRTUAL_ENV=str(tmp_path / "link/.venv"))
    assert told["prefix"] == str(clone.venv)
    leave_no_stamp(clone.venv)
    clone.asked()
    clone.run("help", VIRTUAL_ENV=str(clone.venv))
    assert clone.asked() == ["venv", "pip"]


def test_the_system_python_is_never_used(clone, tmp_path):
    clone.command("uv", UV_STUB)
    folder = environment(tmp_path / "env", thing="2.1", other="1")
    (clone.bin / "python3").unlink()
    (clone.bin / "python3").symlink_to(folder / "bin/python")  # it would meet the floors
    result = clone.run("help")
    assert result.returncode == 0
    assert json.loads(result.stdout)["prefix"] == str(clone.venv)


# --- handing over ---------------------------------------------------------------------------------


def test_arguments_pass_unchanged(ready):
    args = [
        "train",
        "run=a b",
        "message='it''s'",
        'say="hi"',
        "",
        "*",
        "$HOME",
        "a\\b",
        "x=\n",
        "ü",
    ]
    assert ready.told(*args)["args"] == args
    assert ready.told()["args"] == []


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_exit_codes_pass_through(ready, code):
    assert ready.run("exit", code).returncode == code


def test_signals_reach_python(ready):
    process = ready.start("wait")
    assert int(process.stdout.readline()) == process.pid  # bash has become Python
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 143


def test_variables(ready):
    told = ready.told("help", PYTHONPATH="/of/the/user")
    assert told["NO_ALBUMENTATIONS_UPDATE"] == "1"
    assert told["PYTHONPATH"] == f"{ready.root}/src:/of/the/user"
