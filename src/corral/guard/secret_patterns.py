"""The public formats of API keys and tokens, each with the words that it begins with.

Trust: gateway [net] and command line; data. Sources: the providers' own descriptions of their
keys. A pattern is bounded (shorter than `hit.LOOK_AHEAD` characters), so that the
time is linear; what may go on without end is its `tail`.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from corral.guard.check_digits import crc32_base62
from corral.guard.hit import Tail

ALNUM: Final = frozenset(string.ascii_letters + string.digits)
_URL_CHARACTERS: Final = ALNUM | frozenset("_-")
_BASE64_CHARACTERS: Final = ALNUM | frozenset("+/=")
_PLAIN: Final = Tail(ALNUM)
_URL: Final = Tail(_URL_CHARACTERS)
_DOTTED: Final = Tail(_URL_CHARACTERS, joints=".")
_BASE64: Final = Tail(_BASE64_CHARACTERS)


@dataclass(frozen=True, slots=True)
class SecretPattern:
    """One format.

    Attributes:
        name: told in findings.
        anchors: a key begins with one of them, to the letter; at least two characters.
        body: regular expression of what follows the anchor.
        tail: what may go on after it; None if the body is all, and neither a letter nor a digit
            nor `_` may follow it.
        check: of the whole text, beyond the expression.
        inside: it may also stand right behind a letter or a digit.
    """

    name: str
    anchors: tuple[str, ...]
    body: str
    tail: Tail | None = None
    check: Callable[[str], bool] | None = None
    inside: bool = False


def _github(token: str) -> bool:
    return crc32_base62(token[4:])


PATTERNS: Final = (
    SecretPattern("corral", ("sk-corral-",), r"[a-z][a-z0-9]{7}-[0-9a-f]{64}"),
    SecretPattern("anthropic", ("sk-ant-",), r"[a-z]{2,8}[0-9]{2}-[A-Za-z0-9_-]{32}", _URL),
    SecretPattern("openai", ("sk-proj-", "sk-svcacct-", "sk-admin-"), r"[A-Za-z0-9_-]{40}", _URL),
    SecretPattern("openrouter", ("sk-or-v1-",), r"[0-9a-f]{64}"),
    SecretPattern("openai", ("sk-",), r"[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    SecretPattern("sk_key", ("sk-",), r"(?=[A-Za-z]{0,24}[0-9])[A-Za-z0-9]{32}", _PLAIN),
    SecretPattern("aws", ("AKIA", "ASIA", "ABIA", "ACCA"), r"(?![A-Z2-7]{9}EXAMPLE)[A-Z2-7]{16}"),
    SecretPattern("github", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9]{36}",
                  check=_github),
    SecretPattern("github", ("github_pat_",), r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    SecretPattern("gitlab", ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glagent-"),
                  r"[A-Za-z0-9_-]{20}", _DOTTED),
    SecretPattern("npm", ("npm_",), r"[A-Za-z0-9]{36}", check=_github),
    SecretPattern("pypi", ("pypi-AgE",), r"[A-Za-z0-9_-]{50}", _URL),
    SecretPattern("slack", ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxe.", "xoxo-", "xoxr-", "xoxs-",
                            "xapp-"), r"[A-Za-z0-9]{1,20}-[A-Za-z0-9-]{16}", _DOTTED),
    SecretPattern("slack_webhook", ("hooks.slack.com/",),
                  r"(?:services|workflows|triggers)/[A-Za-z0-9]{6,14}/[A-Za-z0-9]{6,24}/",
                  Tail(_URL_CHARACTERS | {"/"})),
    SecretPattern("stripe", ("sk_live_", "rk_live_", "sk_test_", "rk_test_"),
                  r"[A-Za-z0-9]{24}", _PLAIN),
    SecretPattern("stripe_webhook", ("whsec_",), r"[A-Za-z0-9+/]{32}", _BASE64),
    SecretPattern("google", ("AIza",), r"[A-Za-z0-9_-]{35}(?![-])"),
    SecretPattern("google", ("GOCSPX-",), r"[A-Za-z0-9_-]{28}"),
    SecretPattern("google_oauth", ("ya29.",), r"[A-Za-z0-9_-]{30}", _DOTTED),
    SecretPattern("hugging_face", ("hf_", "api_org_"), r"[A-Za-z]{34}"),
    SecretPattern("sendgrid", ("SG.",), r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![-])"),
    SecretPattern("twilio", ("SK",), r"[0-9a-f]{32}"),
    SecretPattern("mailgun", ("key-",), r"[0-9a-f]{32}"),
    SecretPattern("digitalocean", ("dop_v1_", "doo_v1_", "dor_v1_"), r"[0-9a-f]{64}"),
    SecretPattern("shopify", ("shpat_", "shpca_", "shppa_", "shpss_"), r"[0-9a-fA-F]{32}"),
    SecretPattern("databricks", ("dapi",), r"[0-9a-f]{32}(?:-[0-9])?"),
    SecretPattern("grafana", ("glsa_",), r"[A-Za-z0-9]{32}_[0-9a-fA-F]{8}"),
    SecretPattern("grafana", ("glc_eyJ",), r"[A-Za-z0-9+/]{30}", _BASE64),
    SecretPattern("vault", ("hvs.", "hvb.", "hvr."), r"[A-Za-z0-9_-]{24}", _URL),
    SecretPattern("doppler", ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa."), r"[A-Za-z0-9._-]{40}",
                  _DOTTED),
    SecretPattern("linear", ("lin_api_", "lin_oauth_"), r"[A-Za-z0-9]{40}", _PLAIN),
    SecretPattern("notion", ("ntn_",), r"[0-9]{11}[A-Za-z0-9]{35}"),
    SecretPattern("groq", ("gsk_",), r"[A-Za-z0-9]{52}"),
    SecretPattern("xai", ("xai-",), r"[A-Za-z0-9]{70}", _PLAIN),
    SecretPattern("perplexity", ("pplx-",), r"[A-Za-z0-9]{48}"),
    SecretPattern("replicate", ("r8_",), r"[A-Za-z0-9]{37}"),
    SecretPattern("tailscale", ("tskey-",), r"[a-z]{2,12}-[A-Za-z0-9]{8,24}-[A-Za-z0-9]{20}",
                  _PLAIN),
    SecretPattern("atlassian", ("ATATT3", "ATCTT3"), r"[A-Za-z0-9_=-]{40}",
                  Tail(_URL_CHARACTERS | {"="})),
    SecretPattern("docker", ("dckr_pat_", "dckr_oat_"), r"[A-Za-z0-9_-]{27}", _URL),
    SecretPattern("rubygems", ("rubygems_",), r"[0-9a-f]{48}"),
    SecretPattern("supabase", ("sbp_",), r"[0-9a-f]{40}"),
    SecretPattern("planetscale", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"),
                  r"[A-Za-z0-9_.-]{32}", _DOTTED),
    SecretPattern("newrelic", ("NRAK-",), r"[A-Z0-9]{27}"),
    SecretPattern("postman", ("PMAK-",), r"[0-9a-f]{24}-[0-9a-f]{34}"),
    SecretPattern("sentry", ("sntrys_eyJ",), r"[A-Za-z0-9+/]{30}",
                  Tail(_BASE64_CHARACTERS | {"_"})),
    SecretPattern("telegram", (":AA",), r"[A-Za-z0-9_-]{33}(?![-])", inside=True),
    SecretPattern("age", ("AGE-SECRET-KEY-1",), r"[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    SecretPattern("jwt", ("eyJ",), r"[A-Za-z0-9_-]{14,100}\.eyJ[A-Za-z0-9_-]{8}", _DOTTED),
    SecretPattern("jwt", ("eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi", "eyJlbmMiOi"),
                  r"[A-Za-z0-9_-]{105}", _DOTTED),
)  # fmt: skip

_NAMES: Final = (
    "password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "credential",
    "credentials", "authorization", "bearer", "api key", "access key", "account key",
    "private key", "signing key", "encryption key", "master key", "auth key", "client secret",
    "connection string",
)  # fmt: skip
NAMES: Final = tuple(
    name.replace(" ", joint)
    for name in _NAMES
    for joint in (("", " ", "_", "-") if " " in name else ("",))
)
"""Names of what is secret, as they stand before a sign of assignment."""
