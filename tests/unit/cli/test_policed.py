"""A launcher is started with the tiers that the standing policy demands, or not at all."""

from __future__ import annotations

import pytest

from corral.admission.policy.standing import install_standing, policy_folder
from corral.cli.options import effective_config
from corral.cli.policed import policed_settings
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.engine.allowance import tier_of_level
from tests.support.policies import ANYTHING, HEAD

TIERS = '[level.untrusted]\ntier = "vm"\n[level.verified]\ntier = "gvisor"\n'
LEVELS = ("untrusted", "verified", "trusted")


def tiers(home: Home, **settings: object) -> list[str]:
    dotted = {name.replace("__", "."): value for name, value in settings.items()}
    config = effective_config(home, policed_settings(home, dotted))
    return [tier_of_level(config, level) for level in LEVELS]  # type: ignore[arg-type]


@pytest.mark.claim("POL-08")
def test_the_policys_tiers_are_the_least(home: Home) -> None:
    assert tiers(home) == ["namespaces"] * 3  # control: the shipped policy demands none
    install_standing(home, (HEAD + ANYTHING + TIERS).encode())
    assert tiers(home) == ["vm", "gvisor", "namespaces"]
    # The configuration cannot weaken them, and the policy cannot weaken the configuration.
    assert tiers(home, tier_by_trust__untrusted="gvisor") == ["vm", "gvisor", "namespaces"]
    assert tiers(home, tier_by_trust__trusted="vm") == ["vm", "gvisor", "vm"]
    assert tiers(home, sandbox__tier="vm") == ["vm", "vm", "vm"]


@pytest.mark.claim("POL-05", "POL-08")
def test_without_the_policy_no_launcher_is_started(home: Home) -> None:
    (policy_folder(home) / "standing.json").unlink()
    with pytest.raises(CorralError, match="policy_missing"):
        policed_settings(home, {})


def test_a_home_that_is_new_has_no_policy_yet(tmp_path_factory: pytest.TempPathFactory) -> None:
    new = Home(tmp_path_factory.mktemp("new") / "home")
    assert policed_settings(new, {"listen.port": 0}) == {"listen.port": 0}
