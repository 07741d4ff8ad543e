#!/usr/bin/env bash
# Make .venv with everything that `make demo` and `make test` need. Safe to run again.
# With --system-only: look after the system packages and leave .venv alone.
# With --test-tools: also install the tools of others that `make test` runs against corral; where
# that cannot be done their tests are skipped (in CI: fail) and say so.
#
# What the system must bring (python3 with venv, libgomp, an OCI runtime) is installed by apt-get
# where we are root; anybody else is told the one command that does it.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHONS=(python3 python3.14 python3.13 python3.12 python3.11)

find_python() {
    local candidate
    for candidate in "${PYTHONS[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

has_runtime() {
    local runtime path found
    # Debian keeps runc in /usr/sbin, which is not on an ordinary user's PATH.
    path="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    for runtime in crun runc runsc; do
        found="$(PATH="$path" command -v "$runtime")" || continue
        if [[ -x "$found" ]]; then return 0; fi
    done
    return 1
}

# Prints the Debian packages that are missing, one a line.
missing_packages() {
    local python libraries
    python="$(find_python)"
    if [[ -z "$python" ]]; then
        echo python3
        echo python3-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # A distribution's interpreter needs the venv package of its own version.
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    fi
    # Into a variable first: grep -q would end ldconfig early, which pipefail takes for a miss.
    libraries="$(/sbin/ldconfig -p 2>/dev/null || true)"
    if [[ "$libraries" != *libgomp.so.1* ]]; then echo libgomp1; fi
    if [[ "$libraries" != *libstdc++.so.6* ]]; then echo libstdc++6; fi
    if ! has_runtime; then echo crun; fi
    # The tests trace a sealed worker with it; whoever only uses corral can do without.
    if [[ "${CI:-}" == true ]] && ! command -v strace >/dev/null; then echo strace; fi
}

install_missing() {
    local packages
    mapfile -t packages < <(missing_packages)
    if ((${#packages[@]} == 0)); then return; fi
    if ! command -v apt-get >/dev/null; then
        echo "corral needs these packages (Debian's names): ${packages[*]}" >&2
        exit 1
    fi
    if ((EUID != 0)); then
        {
            echo "corral needs system packages that are missing here. Run this once, then again:"
            echo
            echo "    sudo apt-get update && sudo apt-get install -y ${packages[*]}"
        } >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "setup: apt-get install ${packages[*]}"
    apt-get install -qy --no-install-recommends "${packages[@]}" >/dev/null 2>&1 || {
        apt-get update -q >/dev/null
        apt-get install -qy --no-install-recommends "${packages[@]}" >/dev/null
    }
    mapfile -t packages < <(missing_packages)
    if ((${#packages[@]} != 0)); then
        echo "setup: still missing after apt-get: ${packages[*]}" >&2
        exit 1
    fi
}

# Tool of the tests, and Debian's package of it.
TEST_TOOLS=(captest:libcap-ng-utils checksec:checksec systemd-analyze:systemd
    systemd-socket-activate:systemd setpriv:util-linux strace:strace docker-registry:docker-registry crun:crun runc:runc runsc:runsc)

# Only this program of Debian's package: installed whole, it would start a server on this machine.
install_promtool() {
    if command -v promtool >/dev/null || ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        return
    fi
    local folder
    folder="$(mktemp -d)"
    if (cd "$folder" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) \
        >/dev/null 2>&1; then
        install -m 755 "$folder/usr/bin/promtool" /usr/local/bin/promtool
    else
        echo "setup: promtool cannot be had here; its test will be skipped" >&2
    fi
    rm -rf "$folder"
}

install_test_tools() {
    install_promtool
    local pair missing=()
    for pair in "${TEST_TOOLS[@]}"; do
        PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null ||
            missing+=("${pair#*:}")
    done
    if ((${#missing[@]} == 0)); then return; fi
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        echo "setup: tests that need these packages will be skipped: ${missing[*]}" >&2
        return
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "setup: apt-get install ${missing[*]}"
    apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        apt-get update -q >/dev/null || true
        # One by one: a package that this distribution lacks must not keep the others away.
        for pair in "${missing[@]}"; do
            apt-get install -qy --no-install-recommends "$pair" >/dev/null 2>&1 ||
                echo "setup: there is no package $pair here; its tests will be skipped" >&2
        done
    }
}

install_missing
if [[ "${1:-}" == --test-tools ]]; then
    install_test_tools
    exit 0
fi
if [[ "${1:-}" == --system-only ]]; then exit 0; fi

# A .venv whose interpreter has gone or moved (a copied checkout) is made anew.
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
    "$(find_python)" -m venv .venv
fi
if [[ "$(.venv/bin/uv --version 2>/dev/null)" != "uv 0.13.9"* ]]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --require-hashes -r .ci/uv.txt
fi
# --inexact: uv itself and pip are not in the lock file and stay.
VIRTUAL_ENV="$PWD/.venv" UV_PROJECT_ENVIRONMENT="$PWD/.venv" UV_PYTHON_DOWNLOADS=never \
    .venv/bin/uv sync --quiet --frozen --inexact --compile-bytecode --python .venv/bin/python
# Where the environment forbids Python to write bytecode, every command would compile it again.
.venv/bin/python -m compileall -q src
touch .venv/.setup-stamp
