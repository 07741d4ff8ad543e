"""The state folder: one place that knows every path below `--home`.

Trust: operator side (launcher, CLI). The gateway and the jails never see these paths.
Input: trusted (the operator's choice of folder).

    HOME/corral.toml               configuration
    HOME/state/corral.db           keys, tenants, models, usage (gateway's uid)
    HOME/secrets/                  key pepper, receipt, audit and master key (root only)
    HOME/audit/                    the operator's audit chain (the gateway's is in state)
    HOME/tls/                      own CA and server certificate
    HOME/store/sha256/DIGEST       admitted blobs, read-only
    HOME/store/trust/DIGEST        their trust level, one word
    HOME/quarantine/               files on their way in (private)
    HOME/detector/                 the classifier of the guard jail, if one is installed
    HOME/advisories/               the operator's own advisories, OSV files
    HOME/images/                   read-only roots of the jails
    HOME/run/                      control socket, lock
    HOME/log/                      corral.log
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from corral.core.ids import Digest, parse_digest


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one installation.

    Attributes:
        root: the state folder itself, absolute.
    """

    root: Path

    @classmethod
    def locate(cls, chosen: str | None = None) -> Home:
        """Return the state folder: `chosen`, else `$CORRAL_HOME`, else the user's default.

        The default is `/var/lib/corral` for root and `~/.local/share/corral` for anybody else.
        """
        named = chosen or os.environ.get("CORRAL_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        if os.geteuid() == 0:
            return cls(Path("/var/lib/corral"))
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls((Path(data) / "corral").expanduser().absolute())

    @property
    def config_file(self) -> Path:
        """TOML configuration; absent means every default."""
        return self.root / "corral.toml"

    @property
    def state(self) -> Path:
        """Folder of the database: the only one that the gateway can write."""
        return self.root / "state"

    @property
    def database(self) -> Path:
        """SQLite file."""
        return self.state / "corral.db"

    @property
    def secrets(self) -> Path:
        """Folder of key pepper and receipt signing key, 0700."""
        return self.root / "secrets"

    @property
    def pepper(self) -> Path:
        """32 random bytes that key API key hashes."""
        return self.secrets / "pepper"

    @property
    def receipt_key(self) -> Path:
        """Ed25519 private key (PEM, PKCS 8) that signs admission receipts."""
        return self.secrets / "receipt.key"

    @property
    def receipt_public_key(self) -> Path:
        """Ed25519 public key (PEM) that verifies admission receipts."""
        return self.secrets / "receipt.pub"

    @property
    def tls(self) -> Path:
        """Folder of the own CA and the server certificate."""
        return self.root / "tls"

    @property
    def ca_cert(self) -> Path:
        """The own CA's certificate: what clients verify against."""
        return self.tls / "ca.crt"

    @property
    def server_cert(self) -> Path:
        """Server certificate chain issued by the own CA."""
        return self.tls / "server.crt"

    @property
    def server_key(self) -> Path:
        """Server private key, 0600."""
        return self.tls / "server.key"

    @property
    def blobs(self) -> Path:
        """Content-addressed store of admitted models; only the operator's uid writes it."""
        return self.root / "store" / "sha256"

    def blob(self, digest: Digest) -> Path:
        """Path of one admitted model; `bad_digest` for what is none."""
        return self.blobs / parse_digest(digest)

    @property
    def trust_marks(self) -> Path:
        """Folder of the admitted models' trust levels; only the operator's uid writes it."""
        return self.root / "store" / "trust"

    def trust_mark(self, digest: Digest) -> Path:
        """File with the trust level of one admitted model, from which the launcher picks a tier."""
        return self.trust_marks / parse_digest(digest)

    @property
    def quarantine(self) -> Path:
        """Files that are not admitted (yet), 0700."""
        return self.root / "quarantine"

    @property
    def advisories(self) -> Path:
        """The operator's own advisories, in OSV's format; the shipped ones are in the package."""
        return self.root / "advisories"

    @property
    def detector(self) -> Path:
        """Folder of the installed detector; only the operator's uid writes it."""
        return self.root / "detector"

    @property
    def images(self) -> Path:
        """Read-only root folders for the jails."""
        return self.root / "images"

    @property
    def run(self) -> Path:
        """Sockets and lock of a running server."""
        return self.root / "run"

    @property
    def control_socket(self) -> Path:
        """Unix socket on which the launcher answers the operator."""
        return self.run / "control.sock"

    @property
    def host_report(self) -> Path:
        """What `corral up` found out about this host when it started, as JSON."""
        return self.run / "host.json"

    @property
    def lock_file(self) -> Path:
        """Held by the running server: one server per state folder."""
        return self.run / "lock"

    @property
    def log_file(self) -> Path:
        """Structured log (JSON lines) of the running server."""
        return self.root / "log" / "corral.log"
