"""Decide admitted models anew, and put a policy in force: what `corral admit` does.

Trust: operator side. Input: the operator's policy; rows of the catalog, which count only if their
receipts verify. Nothing is fetched, scanned or tried: the facts are those of the receipts.

    1 policy       the one that is given, else the standing one
    2 receipts     of the named models, or of all; held back ones too
    3 decide       what an advisory names is held back, whatever the policy says
    4 install      if all are decided: the policy becomes the standing one, later than all before
    5 write        receipts signed anew, in one transaction
    6 places       trust marks; what nobody may use leaves the folder that the launcher opens

All is done under the store lock. Interrupted after step 4, the receipts that are left are older
than the standing policy: step 6 of whoever comes next holds their blobs back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from corral.admission.catalog_changes import put_rows
from corral.admission.known_bad import known_bad_finding
from corral.admission.lock import store_lock
from corral.admission.policy.decide import held_decision
from corral.admission.policy.document import Policy, parse_policy
from corral.admission.policy.standing import install_standing, read_standing
from corral.admission.receipt import Receipt, sign_receipt, verify_receipt
from corral.admission.redecision import decided_anew
from corral.admission.trust_marks import write_trust_marks
from corral.advisories.database import Advisories, load_advisories
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.receipt_key import load_receipt_key
from corral.state.connection import read_rows


@dataclass(frozen=True, slots=True)
class Redecided:
    """One model, before and after."""

    before: Receipt
    after: Receipt


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided, or would be.

    Attributes:
        policy: that decided.
        installed: it is the standing one now.
        models: by name.
        unverified: names whose receipts do not verify; they are no models.
    """

    policy: Policy
    installed: bool
    models: tuple[Redecided, ...]
    unverified: tuple[str, ...]


def redecide(
    home: Home, names: Iterable[str] | None, *, policy: bytes | None = None, dry_run: bool = False
) -> Outcome:
    """Decide models anew.

    Args:
        home: state folder, initialised.
        names: of models; None takes all of them, and puts the policy in force.
        policy: text of a policy; None takes the standing one.
        dry_run: change nothing.

    Raises:
        CorralError: code `no_such_model`; those of `parse_policy`, `read_standing` and
            `load_advisories`; `receipt_key_unreadable`, `database_unavailable`.
    """
    with store_lock(home):
        # 1
        text = read_standing(home).text if policy is None else policy
        chosen = parse_policy(text)
        # 2
        receipts, unverified = _read(home)
        wanted = sorted(receipts if names is None else set(names))
        for name in wanted:
            if name not in receipts:
                raise CorralError(
                    "no_such_model", "no admitted model has that name",
                    remedy="see the names with corral list",
                )  # fmt: skip
        known_bad = load_advisories(home)
        # 4 comes before 3, which needs its time
        installed = names is None and not dry_run
        now_s = _install(home, text, receipts) if installed else 0
        if not installed and not dry_run:
            now_s = read_standing(home).now_s()
        # 3
        found = tuple(
            Redecided(receipts[name], _decide(receipts[name], chosen, known_bad, now_s))
            for name in wanted
        )
        if not dry_run:
            # 5
            key = load_receipt_key(home)
            put_rows(
                home, [(one.after, *sign_receipt(one.after, key)) for one in found], how="admit"
            )
            # 6
            write_trust_marks(home)
    return Outcome(chosen, installed, found, tuple(sorted(unverified)))


def _read(home: Home) -> tuple[dict[str, Receipt], list[str]]:
    verify = verify_receipt(home.receipt_public_key.read_bytes())
    found: dict[str, Receipt] = {}
    unverified: list[str] = []
    for name, text, signature in read_rows(
        home.database, "SELECT name, receipt, signature FROM models"
    ):
        receipt = verify(text, signature)
        if receipt is None or receipt.name != name:
            unverified.append(name)
        else:
            found[name] = receipt
    return found, unverified


def _install(home: Home, text: bytes, receipts: dict[str, Receipt]) -> int:
    """Put a policy in force and return its time: later than every decision and policy before."""
    return install_standing(home, text, after_s=max(_times(home, receipts))).installed_at


def _times(home: Home, receipts: dict[str, Receipt]) -> Iterator[int]:
    yield 0
    yield from (receipt.decision.decided_at for receipt in receipts.values())
    try:
        yield read_standing(home).installed_at
    except CorralError:
        return  # a policy that is broken is what this one replaces


def _decide(receipt: Receipt, policy: Policy, known_bad: Advisories, now_s: int) -> Receipt:
    advisory = known_bad.about(*receipt.advised)
    if advisory is None:
        return decided_anew(receipt, policy, now_s=now_s)
    reasons = [known_bad_finding(advisory).message]
    trust, decision = held_decision(policy, advisory.id, reasons, now_s)
    return msgspec.structs.replace(receipt, trust=trust, decision=decision)
