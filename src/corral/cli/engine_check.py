"""No model is given to an engine whose flaws nobody knows, or that has a flaw that nothing stops.

Trust: operator side. Input: the installed engine's library, which is hashed and never loaded here;
advisories, the shipped ones and the operator's.
"""

from __future__ import annotations

from corral.core.config import Config
from corral.core.home import Home


def check_engine(home: Home, config: Config) -> None:
    """Refuse an engine that must not be started.

    Raises:
        CorralError: codes `engine_unknown`, `engine_vulnerable`; those of `load_advisories`.
    """
    from corral.advisories.database import load_advisories
    from corral.advisories.engine import engine_refusal, installed_engine

    known = load_advisories(home).records.values()
    engine = installed_engine(home.run / "engine-digest.json")
    refusal = engine_refusal(engine, known, config.sandbox.allow_degraded)
    if refusal is not None:
        raise refusal
