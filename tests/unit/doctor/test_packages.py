from __future__ import annotations

from collections.abc import Callable

import pytest

from corral.doctor.files import HostFiles
from corral.doctor.packages import Package, distribution, package_of

RELEASE = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n'
STATUS = """Package: crun
Status: install ok installed
Version: 1.8.1-1+deb12u1
Description: runtime
 Version: of a continued line

Package: runc
Status: deinstall ok config-files
Version: 1.1.5+ds1-1
"""
Tree = Callable[[dict[str, str]], HostFiles]


@pytest.fixture
def debian(tree: Tree) -> HostFiles:
    return tree(
        {
            "/etc/os-release": RELEASE,
            "/var/lib/dpkg/status": STATUS,
            "/var/lib/dpkg/info/crun.list": "/.\n/usr/bin/crun\n",
            "/var/lib/dpkg/info/runc.list": "/usr/sbin/runc\n",
            "/var/lib/dpkg/info/runsc:amd64.list": "/usr/bin/runsc\n",
        }
    )


@pytest.mark.parametrize("path", ["/usr/bin/crun", "/bin/crun"])
def test_a_program_of_a_package(debian: HostFiles, path: str) -> None:
    assert package_of(debian, "crun", path) == Package("crun", "1.8.1-1+deb12u1", "debian-12")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("crun", "/usr/local/bin/crun"),  # the operator's own build beside the package
        ("runc", "/usr/sbin/runc"),  # removed, its files are a leftover
        ("runsc", "/usr/bin/runsc"),  # listed, but dpkg does not know its version
        ("krun", "/usr/bin/krun"),
    ],
)
def test_a_program_of_no_package(debian: HostFiles, name: str, path: str) -> None:
    assert package_of(debian, name, path) is None


def test_another_distribution(tree: Tree) -> None:
    assert distribution(tree({})) == ""
    assert distribution(tree({"/etc/os-release": "ID='arch'\n"})) == ""
