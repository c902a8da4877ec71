"""Secrets that can be told from everything else, and the search for them in whatever form."""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

#: Letters that no hexadecimal id holds, and no word in such a row.
_LETTERS = str.maketrans("0123456789abcdef", "ghjkmnpqrstvwxyz")
#: Letters of the shortest piece of a secret that counts as one told.
PIECE = 8
#: What may break a text over lines: in itself, or escaped.
_BREAKS = re.compile(rb"\s|\\[rn]|%0[AD]", re.IGNORECASE)


@dataclass
class Canaries:
    """A secret for each place that one may come from; ``leaks`` are those that were found."""

    names: dict[str, str] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    places: int = 0
    size: int = 0

    def __getitem__(self, name: str) -> str:
        """The secret of a place; it holds letters that addresses, JSON and pages write otherwise."""
        core = self.names.setdefault(name, sha256(name.encode()).hexdigest()[:24].translate(_LETTERS))
        return f"{core}/+&7"

    def search(self, where: str, content: bytes) -> None:
        """Notes every secret in a text or file: the piece of it that matters, or it in Base64, in any letters."""
        self.places += 1
        self.size += len(content)
        whole = _BREAKS.sub(b"", content)
        texts = (content.lower(), whole.lower())
        for name, core in self.names.items():
            if any(core[:PIECE].encode() in text or core[-PIECE:].encode() in text for text in texts):
                self.leaks.append(f"{where}: {name}")
            elif any(packed.lower() in texts[1] for packed in _packed(core)):
                self.leaks.append(f"{where}: {name}, in Base64")


def _packed(core: str) -> Iterator[bytes]:
    """Base64 of a secret wherever it stands in what was encoded, without the letters that its neighbours change."""
    for before in range(3):
        letters = b64encode(b" " * before + core.encode()).rstrip(b"=")
        yield letters[4 if before else 0 : -2]
