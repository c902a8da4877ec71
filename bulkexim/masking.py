"""What nobody is told: the secrets that we know, in whatever form, and whatever looks like a secret of others.

Errors mask what has the shape of a secret when they are made, replies the secrets of their own request; logs, reports
and crash files mask once more what the command knows.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

import msgspec

T = TypeVar("T")
Mask = Callable[[str], str]

MASKED = "***"
#: A secret may be broken over lines, as Base64 often is, and the break may be escaped, and quoted.
_BREAK = r"(?:\s|(?:\\|%(?:25)*5C)+[rn]|%(?:25)*0[AD])*"

_SPACE = r"(?:\s|%20|\+)"
_QUOTE = r"(?:\\*[\"']|&quot;|&#39;|%22)"
_EQUALS = r"(?:=|%3D)"
_VALUE = r"(?:(?!%26)[^\s\"'&,;<>\\])+"
_SCHEME = rf"(?:(?:basic|bearer|digest|negotiate|token|aws4-hmac-sha256){_SPACE}{{1,9}})?"
_HEADER = r"(?:authorization|cookie|x-[\w-]{0,40}(?:token|key|secret|signature))"
_NAME = (
    r"(?:signature|credential|token|secret|passw(?:or)?d|pwd|(?<![a-z])sig|accessid"
    r"|(?:access|api|account)[-_]?key)(?:[-_]?id)?"
)
#: What looks like a secret. What is in a group stays, to tell what it was.
_SHAPES = (
    # A header, however it is quoted.
    rf"({_HEADER}{_QUOTE}?\s*(?:[:=]|%3A|%3D){_SPACE}*{_QUOTE}?){_SCHEME}{_VALUE}(?:;\s*{_VALUE})*",
    # A login without its header. "Basic training" is none: it has no digit and is short.
    rf"\b((?:basic|bearer){_SPACE}{{1,9}})(?=[\w.~+/%-]*\d|[\w.~+/%-]{{20}})[\w.~+/%-]{{8,}}=*",
    # The login in an address.
    r"(://)[^/?#\s\"'<>]+(?=@)",
    r"((?::|%3A)(?:/|%2F){2})[^/?#\s\"'<>&]{1,300}(?=%40)",
    # Of an address, such as a presigned one, the parts of the query that open it; in JSON, in a form.
    rf"({_NAME}(?:{_EQUALS}{_QUOTE}?|{_QUOTE}\s*[:=]\s*{_QUOTE})){_VALUE}",
    # A JSON web token, and the id of an AWS key.
    r"\beyJ[\w-]{8,999}\.[\w-]{8,9999}\.[\w-]*",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
)
#: Letters of the shortest text that is a secret wherever it stands; a shorter one may be an ordinary word.
_TELLING = 8
#: Letters from which on a short secret that is no word is masked, and what a word or a name is made of.
_ODD, _WORD = 4, re.compile(r"[\w.-]+")
#: What goes before a secret that is told as one: its name, and a word or a sign or two.
_TOLD = (
    r"(?:passw(?:or)?d|passphrase|pwd|token|secret|credentials?|api[-_ ]?key)(?:\s+(?:is|was|of|for))?[\s:=\"'(]{1,4}"
)
#: Names of variables that hold secrets: of MLflow, of storage, of anything that a server which we start inherits.
_VARIABLE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|ACCESS_KEY|ACCOUNT_KEY|API_KEY)(?!.*(_FILE|_PATH))")
#: Letters of the shortest value of such a variable: "true" is no secret.
_SHORTEST = 8


def masking(secrets: Iterable[str] = ()) -> Mask:
    """Return a function that masks in a text ``secrets``, in whatever form, and whatever looks like a secret.

    A short secret may be a word of any text, such as "team". It is masked only where it is told as a secret: to mask
    that word everywhere would spoil every sentence, and show what it stands for. One that no name would be is masked
    wherever it stands alone.
    """
    given = {secret for secret in secrets if secret}
    forms = {form for secret in given for form in _forms(secret) if len(form) >= _TELLING}
    odd = [secret for secret in given if _ODD <= len(secret) < _TELLING and not _WORD.fullmatch(secret)]
    known = [_BREAK.join(map(_letter, form)) for form in sorted(forms, key=len, reverse=True)]
    short = {form for secret in given if len(secret) < _TELLING for form in (secret, quote(secret, safe=""))}
    told = [rf"({_TOLD}){re.escape(form)}(?!\w)" for form in sorted(short, key=len, reverse=True)]
    alone = [rf"(?<!\w){re.escape(form)}(?!\w)" for form in odd]
    pattern = re.compile("|".join([*known, *told, *alone, *_SHAPES]), re.IGNORECASE)

    def replaced(found: re.Match[str]) -> str:
        return "".join(filter(None, found.groups())) + MASKED

    return lambda text: pattern.sub(replaced, text)


def _letter(letter: str) -> str:
    """Return the pattern of a letter of a secret; in an address within an address, percent signs are quoted again."""
    return "%(?:25)*" if letter == "%" else re.escape(letter)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it stands in a text, an address, JSON, a traceback, a page, or in Base64."""
    content = secret.encode(errors="surrogateescape")
    packed = (b64encode(content).decode(), urlsafe_b64encode(content).decode())
    for form in (secret, *packed, *(one.rstrip("=") for one in packed)):
        yield from (form, quote(form), quote(form, safe=""), quote_plus(form))
    told = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    for form in (*told, html.escape(secret), html.escape(secret, quote=False)):
        yield from (form, quote(form), quote(form, safe=""))


#: Masks what looks like a secret.
shaped = masking()


def masked(value: T, mask: Mask) -> T:
    """Return a value with every text in it masked; structs, tuples, lists and mappings are gone through."""
    plain: Any = value
    if type(value) is str:
        plain = mask(plain)
    elif isinstance(value, msgspec.Struct):
        fields = {name: masked(getattr(value, name), mask) for name in value.__struct_fields__}
        plain = msgspec.structs.replace(value, **fields)
    elif isinstance(value, tuple) and hasattr(value, "_make"):
        plain = value._make(masked(one, mask) for one in value)
    elif isinstance(value, tuple | list):
        plain = type(value)(masked(one, mask) for one in value)
    elif isinstance(value, Mapping):
        plain = {masked(key, mask): masked(one, mask) for key, one in value.items()}
    result: T = plain
    return result


def in_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of variables that hold secrets, by their names."""
    for name, value in environ.items():
        if len(value) >= _SHORTEST and _VARIABLE.search(name.upper()):
            yield value
