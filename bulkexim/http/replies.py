"""What a reply of a server means, as one of the errors of `bulkexim.errors`."""

from __future__ import annotations

import html
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from bulkexim.errors import (
    AlreadyExists,
    CallError,
    FatalError,
    Lost,
    NoSuchEndpoint,
    NotFound,
    RacingDuplicate,
    Refused,
    ServerFault,
    SwitchedOff,
    Throttled,
    TimedOut,
    TooLarge,
)
from bulkexim.http import advice, auth
from bulkexim.masking import Mask, masking

HTTP_OK = range(200, 300)
HTTP_REDIRECT = range(300, 400)
_TEXT_LIMIT = 300
#: What the routes of the artifact service have in common.
_ARTIFACT_SERVICE = "/mlflow-artifacts/"
#: What a page says in short; of a hostile one, the beginning is looked at only.
_TITLE = re.compile(r"\A.{0,2000}?<title[^>]{0,100}>([^<]{1,300})", re.IGNORECASE | re.DOTALL)
#: Internal errors of MLflow (500) that refuse a call for what it asks: it was not carried out, and never will be. Text
#: that PostgreSQL cannot hold, and the source of a version that leads nowhere.
_NEVER = re.compile(
    r"NUL \(0x00\)"
    r"|^Unable to fetch model from model URI source artifact location .* not found"
    r"|^Not a proper models:/ URI"
)


class ErrorBody(msgspec.Struct, frozen=True):
    """MLflow's error body (``mlflow.exceptions.MlflowException.serialize_as_json``)."""

    error_code: str | int = ""
    message: str = ""


def raise_for_reply(response: httpx.Response, what: str) -> None:
    """Raise what the reply means; return when it is a success.

    ``what`` names the call in the sentence, the server first: "source GET api/…".

    :raises FatalError: the login was refused, the server redirects, or a part of it is switched off that all needs
    :raises SwitchedOff: its artifact service is
    :raises CallError: any other reply that is not a success; the subclass carries the policy
    """
    status = response.status_code
    if status in HTTP_OK:
        return
    name = advice.server_of(what)
    if status in HTTP_REDIRECT:
        remedy = advice.redirect(name, response.request.url, httpx.URL(response.headers.get("location", "")))
        raise FatalError(f"{what}: the server redirects to {_target(response)}.", plain(response)(remedy))
    body = _error_body(response.content)
    text = f"{what}: {_sentence(response, body)}"
    if status == httpx.codes.UNAUTHORIZED:
        problem, remedy = advice.login(name, response.request.headers)
        raise FatalError(f"{what}: {problem}.", remedy)
    if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        raise FatalError(f"{what}: the proxy before the server wants a login (HTTP 407).", advice.proxy())
    if body is None and status == httpx.codes.FORBIDDEN and "Invalid Host header" in response.text:
        host = response.request.url.host
        raise FatalError(f"{what}: the server does not go by the name {host!r}.", advice.host_name(name, host))
    if body is None and "plain HTTP request was sent to HTTPS port" in response.text:
        raise FatalError(f"{what}: the server speaks TLS, and was asked without.", advice.with_tls(name))
    if _is_switched_off(response, body):
        remedy = advice.switched_off(name, text)
        if _ARTIFACT_SERVICE in response.request.url.path:
            raise SwitchedOff(text, status=status, cause="switched off", remedy=remedy)
        raise FatalError(text, remedy)
    raise _call_error(response, body, text, name)


def raise_for_gateway(response: httpx.Response, what: str) -> None:
    """Raise that a route is kept from us, as pages may be by a gateway that lets the API through.

    :raises NoSuchEndpoint: it is, or the server does not have it
    """
    status = response.status_code
    kept = status in HTTP_REDIRECT or status in (httpx.codes.UNAUTHORIZED, httpx.codes.METHOD_NOT_ALLOWED)
    if status in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
        kept = _error_body(response.content) is None
    if kept:
        text = f"{what}: {_sentence(response, _error_body(response.content))}"
        raise NoSuchEndpoint(text, status=status, remedy=advice.pages(advice.server_of(what)))


def _call_error(response: httpx.Response, body: ErrorBody | None, text: str, name: str) -> CallError:
    status = response.status_code
    code = _shortened(plain(response)(str(body.error_code))) if body else ""
    if _is_put_off(response, body):
        return Throttled(text, status=status, retry_after=_retry_after(response))
    if status == httpx.codes.REQUEST_TIMEOUT:
        return Lost(text, status=status)
    if status == httpx.codes.NOT_IMPLEMENTED or code == "ENDPOINT_NOT_FOUND":
        return NoSuchEndpoint(text, status=status, cause=code)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        if body is not None and _NEVER.search(body.message):
            return Refused(text, status=status, cause=code)
        kind = TimedOut if status == httpx.codes.GATEWAY_TIMEOUT else ServerFault
        return kind(text, status=status)
    if body is None and status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
        return NoSuchEndpoint(text, status=status)
    return _refused(response, body, text, name)


def _refused(response: httpx.Response, body: ErrorBody | None, text: str, name: str) -> Refused:
    status = response.status_code
    code = _shortened(plain(response)(str(body.error_code))) if body else ""
    if code == "RESOURCE_ALREADY_EXISTS":
        return AlreadyExists(text, status=status, cause=code)
    if code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
        return NotFound(text, status=status, cause=code)
    if code == "BAD_REQUEST" and body and re.search(r"IntegrityError|UNIQUE constraint|UniqueViolation", body.message):
        return RacingDuplicate(text, status=status, cause="duplicate")
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        size = int(response.request.headers.get("content-length", 0))
        problem = f"{text}: a body of {size:,} bytes is more than is taken there."
        return TooLarge(problem, size, remedy=advice.body_limit(name, size))
    return Refused(text, status=status, cause=code or f"HTTP {status}", remedy=_remedy(response, body, name))


def _remedy(response: httpx.Response, body: ErrorBody | None, name: str) -> str:
    """Return what to do about a refusal that the user may do something about."""
    request, status = response.request, response.status_code
    if status in (httpx.codes.REQUEST_URI_TOO_LONG, httpx.codes.REQUEST_HEADER_FIELDS_TOO_LARGE):
        return advice.address_limit(name)
    if status != httpx.codes.FORBIDDEN:
        return ""
    if body is not None or response.text.strip() == "Permission denied":
        return advice.right(name, request.method, request.url.path)
    return f"If that is not the {name} itself: a gateway before it does not let this call through."


def _is_put_off(response: httpx.Response, body: ErrorBody | None) -> bool:
    """Return whether the server has too much to do and did nothing for this call.

    Its own pool of database connections may be empty before anything is begun. A 503 of MLflow stands for every failure
    of its database: SQLite's lock comes before the commit; but where a connection to a database server broke, it may
    have been the commit that got through.
    """
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or (body and "QueuePool limit" in body.message):
        return True
    if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
        return False
    return "database is locked" in body.message if body else _retry_after(response) is not None


def _error_body(content: bytes) -> ErrorBody | None:
    try:
        body = msgspec.json.decode(content, type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return body if body.error_code else None


def _is_switched_off(response: httpx.Response, body: ErrorBody | None) -> bool:
    if body is not None:
        return body.error_code == "FEATURE_DISABLED"
    text = response.text.lower()
    return response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "disabled" in text and not _is_page(text)


def _is_page(text: str) -> bool:
    """Return whether a browser is meant to show this; MLflow calls its plain sentences HTML as well."""
    return text.lstrip().startswith("<")


def _sentence(response: httpx.Response, body: ErrorBody | None) -> str:
    # Masked before it is cut: half a secret would not be recognised.
    mask = plain(response)
    if body is not None:
        code, message = _shortened(mask(str(body.error_code))), _shortened(mask(body.message))
        return f"{code}: {message} (HTTP {response.status_code})"
    title = _TITLE.search(response.text) if _is_page(response.text) else None
    said = html.unescape(title[1]) if title else "" if _is_page(response.text) else response.text
    # The title of a gateway's page often begins with the status.
    told = _shortened(mask(said)).removeprefix(f"{response.status_code} ")
    return f"HTTP {response.status_code} {told}".rstrip()


def _target(response: httpx.Response) -> str:
    """Return where a redirect points to, without what may be secret in it."""
    target = httpx.URL(response.headers.get("location", ""))
    return plain(response)(str(target.copy_with(userinfo=b"", query=None, fragment=None))) or "nowhere"


def plain(response: httpx.Response) -> Mask:
    """Return what masks, in words of the server, the secrets of the request that it answered."""
    return masking(auth.secrets(response.request.headers))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_LIMIT else line[:_TEXT_LIMIT] + "…"


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
