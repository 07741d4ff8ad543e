"""The settings of a launcher under the standing policy: it demands least tiers for trust levels.

Trust: operator side. Input: the standing policy, verified; settings of the command line. Tiers are
handed to the launcher as settings, so that the trusted base knows nothing of policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from corral.cli.options import effective_config
from corral.core.config import TIERS, Config, override_config
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.admission.policy.verdict import Allowance
    from corral.admission.trust_level import Trust


def policed_settings(home: Home, settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings with the tiers that the standing policy demands besides.

    Args:
        home: state folder; one that was never initialised has no policy yet, and no models.
        settings: dotted settings of the command line.

    Raises:
        ConfigError: the file or an option is not usable.
        CorralError: those of `read_standing`.
    """
    from corral.admission.policy.standing import policy_folder, read_standing

    if not (home.database.exists() or (policy_folder(home) / "standing.json").exists()):
        return dict(settings)
    policy = read_standing(home).policy
    return raised_settings(effective_config(home, dict(settings)), settings, policy.levels)


def raised_settings(
    config: Config, settings: Mapping[str, object], levels: Mapping[Trust, Allowance]
) -> dict[str, object]:
    """Return the settings with each level's tier raised to its allowance's; none is lowered."""
    from corral.engine.allowance import tier_of_level

    found = dict(settings)
    for level, allowance in levels.items():
        given = tier_of_level(config, level)
        if allowance.tier and TIERS.index(allowance.tier) > TIERS.index(given):
            found[f"tier_by_trust.{level}"] = allowance.tier
    override_config(config, found)
    return found
