"""The audit ledger: every effect, refusal and read, in hash chains that show tampering.

An event uses CloudEvents field names and holds no content: of what was written it keeps an HMAC
under the memory's own key, which erasure destroys; of names it keeps pseudonymous ids. An event's
hash covers the event before it in its chain, so an edit, a deletion or a swap breaks the chain.
Signed checkpoints over the heads of all chains, kept outside the vault, show a rewriting of it all.
"""

from memos_core.infrastructure.ledger.anchors import Anchor, CallableAnchor, FolderAnchor
from memos_core.infrastructure.ledger.chains import Ledger
from memos_core.infrastructure.ledger.checkpoint import Checkpoints, SignedCheckpoint
from memos_core.infrastructure.ledger.event import Event, Outcome, commitment, link
from memos_core.infrastructure.ledger.export import ExportReport, verify_export
from memos_core.infrastructure.ledger.keys import Keyring, SigningKey
from memos_core.infrastructure.ledger.verdict import Verdict

__all__ = [
    "Anchor",
    "CallableAnchor",
    "Checkpoints",
    "Event",
    "ExportReport",
    "FolderAnchor",
    "Keyring",
    "Ledger",
    "Outcome",
    "SignedCheckpoint",
    "SigningKey",
    "Verdict",
    "commitment",
    "link",
    "verify_export",
]
