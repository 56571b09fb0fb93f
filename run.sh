#!/usr/bin/env bash
# foldwise: ./run.sh [verb] [key=value …], from any folder. `./run.sh help` lists the verbs.
#
# Finds the Python to use and hands over to it. That is the active environment (VIRTUAL_ENV, conda,
# a Kaggle kernel, Colab) if it meets the floors in pyproject.toml, otherwise .venv, which the
# first call makes from requirements.txt.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
root=${self%/*}
venv=$root/.venv
pins=$root/requirements.txt
stamp=$venv/installed.txt # a copy of the pins that .venv has, written last

say() { printf 'run.sh: %s\n' "$*" >&2; }
fail() {
  say "$@"
  exit 1
}

# Never the bare system Python: only one that somebody chose for this shell, or a notebook image's.
active_python() {
  if [[ -n ${VIRTUAL_ENV-} ]]; then
    [[ $VIRTUAL_ENV -ef $venv ]] || echo "$VIRTUAL_ENV/bin/python"
  elif [[ -n ${CONDA_PREFIX-} ]]; then
    echo "$CONDA_PREFIX/bin/python"
  elif [[ -n ${KAGGLE_KERNEL_RUN_TYPE-}${COLAB_RELEASE_TAG-} ]]; then
    command -v python3 || true
  fi
}

base_python() {
  local name
  for name in python3 python3.{14..11}; do
    # A name may exist and not run: version managers leave such shims.
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' &>/dev/null; then
      echo "$name"
      return
    fi
  done
}

installed() {
  [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$(<"$pins")" ]]
}

# Called with the lock file open as descriptor 9. The installers inherit it, so the lock outlives a
# killed run.sh for as long as its installer still writes into .venv.
install() {
  local uv base
  if command -v flock >/dev/null && ! flock -n 9; then
    say "waiting for another call that is installing"
    flock 9 || true
  fi
  if installed; then return; fi

  say "installing the packages of requirements.txt into .venv: this takes minutes, and happens once"
  trap 'say "interrupted: the next call finishes the installation"; exit 130' INT
  uv=$(command -v uv || true)
  if [[ -x $venv/bin/python && -f $stamp ]]; then
    rm "$stamp" # whole, but of other pins: bring it up to date
  else
    # Nothing of a half-made .venv can be trusted; the installers' caches keep the downloads.
    base=$(base_python)
    rm -rf "$venv"
    if [[ -n $uv ]]; then
      uv venv --quiet --seed --python "${base:->=3.11}" "$venv" >&2 ||
        fail "uv could not make .venv with ${base:-a Python of 3.11 or later}: see above, check the" \
          "network, and run this again"
    else
      [[ -n $base ]] ||
        fail "no Python of 3.11 or later was found: install one, or uv, and run this again"
      "$base" -I -m venv "$venv" >&2 ||
        fail "$base -m venv failed: see above, install uv (or python3-venv on Debian and Ubuntu)," \
          "and run this again"
    fi
  fi

  cp -f "$pins" "$stamp.new"
  if [[ -n $uv ]]; then
    uv pip install --python "$venv/bin/python" -r "$stamp.new" </dev/null >&2
  else
    "$venv/bin/python" -I -m pip install --no-input --disable-pip-version-check -r "$stamp.new" >&2
  fi || fail "the installation failed: see above, check the network and the free disk space, and" \
    "run this again"
  mv "$stamp.new" "$stamp"
  trap - INT
}

python=$venv/bin/python
active=$(active_python)
unmet=
if [[ -x $active ]]; then
  # PYTHONSAFEPATH: floors.py's neighbours must not stand in for modules of the same names.
  if unmet=$(PYTHONSAFEPATH=1 "$active" "$root/src/foldwise/floors.py" "$root/pyproject.toml" 2>&1); then
    python=$active
  fi
fi
if [[ $python == "$venv/bin/python" ]] && ! installed; then
  [[ -z $unmet ]] || say "${active%/bin/*} is not used: ${unmet//$'\n'/; }"
  [[ -w $root ]] || fail "$root is read-only, so .venv cannot be made there: copy the folder, or" \
    "activate an environment that meets the floors in pyproject.toml"
  install 9>>"$venv.lock"
fi

export NO_ALBUMENTATIONS_UPDATE=1 # albumentations would look for updates online at each import
export PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH}
# -P: nothing in the caller's folder stands in for a module. exec: signals reach Python itself.
exec "$python" -P -m foldwise "$@"
