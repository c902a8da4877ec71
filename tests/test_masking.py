"""What nobody is told: secrets that are known, in every form, and what looks like one; the rest stays readable."""

import html
import json
import time
from base64 import b64encode, encodebytes
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from bulkexim.config import Endpoint
from bulkexim.errors import ObjectError
from bulkexim.http import auth
from bulkexim.masking import in_environment, masked, masking, shaped

SECRET = 'p/ä"ss & <wörd>+1'
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in other letters": str.upper,
    "quoted": quote,
    "quoted whole": lambda secret: quote(secret, safe=""),
    "quoted again": lambda secret: quote(quote(quote(secret))),
    "of a form": quote_plus,
    "of lower-case percents": lambda secret: quote(secret, safe="").lower(),
    "JSON": json.dumps,
    "JSON in Unicode": lambda secret: json.dumps(secret, ensure_ascii=False),
    "in a traceback": repr,
    "a page": html.escape,
    "a page in an address": lambda secret: quote(html.escape(secret)),
    "JSON in an address": lambda secret: quote(json.dumps(secret)[1:-1]),
    "Base64": lambda secret: b64encode(secret.encode()).decode(),
    "Base64 in lines": lambda secret: encodebytes((secret * 9).encode()).decode(),
    "Base64 in a query": lambda secret: quote_plus(b64encode(secret.encode()).decode()),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_known_secret_is_masked_in_every_form(form: Callable[[str], str]) -> None:
    shown = form(SECRET)
    mask = masking([SECRET, SECRET * 9])
    text = mask(f"before {shown} after")
    assert shown.strip("\"'") not in text
    assert text.startswith("before ") and text.endswith(" after")
    assert len(text) <= len("before '***==' after")


@pytest.mark.parametrize("end", ["\n", "\r\n ", "\\n", "\\r\\n", "%0A", "%250D%250A", "%5Cn", "%255Cr%255Cn"])
def test_a_known_secret_is_masked_where_it_is_broken_over_lines(end: str) -> None:
    secret = "dXNlcjpwYXNzd29yZA=="
    for cut in range(1, len(secret)):
        assert masking([secret])(f"<{secret[:cut]}{end}{secret[cut:]}>") == "<***>"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("at https://someone:else@host/path", "at https://***@host/path"),
        ("at https://someone:e@lse@host/path", "at https://***@host/path"),
        ("next=https%3A%2F%2Fsomeone%3Aelse%40host", "next=https%3A%2F%2F***%40host"),
        ("Authorization: Basic YWRhOmdlaGVpbQ== was sent", "Authorization: *** was sent"),
        ("'authorization': 'Bearer abc.def'", "'authorization': '***'"),
        (r"{\"AUTHORIZATION\": \"bearer abc.def\"}", r"{\"AUTHORIZATION\": \"***\"}"),
        ("Authorization%3A%20Bearer%20abc.def%26", "Authorization%3A%20***%26"),
        ("authorization: token abc", "authorization: ***"),
        ("Set-Cookie: session=abc; Path=/; HttpOnly", "Set-Cookie: ***"),
        ("X-Amz-Security-Token: abc/def", "X-Amz-Security-Token: ***"),
        ("with Bearer abcdefghij0123 in it", "with Bearer *** in it"),
        ("with bearer abcdefghij0123 in it", "with bearer *** in it"),
        (
            "https://b.example/k?X-Amz-Signature=ab12&X-Amz-Date=3",
            "https://b.example/k?X-Amz-Signature=***&X-Amz-Date=3",
        ),
        ("?X-Amz-Credential=AK%2F2024%2Fs3&x=1", "?X-Amz-Credential=***&x=1"),
        ("?sv=2024&sig=a%2Bb%3D&se=1", "?sv=2024&sig=***&se=1"),
        ("?AWSAccessKeyId=abc&Signature=d%3D&Expires=1", "?AWSAccessKeyId=***&Signature=***&Expires=1"),
        ("url=%3Ftoken%3Dabc%26x%3D1", "url=%3Ftoken%3D***%26x%3D1"),
        ('{"password": "abc", "user": "ada"}', '{"password": "***", "user": "ada"}'),
        ("the key AKIAABCDEFGHIJKLMNOP is known", "the key *** is known"),
        ("got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl here", "got *** here"),
    ],
)
def test_what_looks_like_a_secret_is_masked_once_and_for_all(text: str, masked: str) -> None:
    assert shaped(text) == masked
    assert shaped(masked) == masked
    assert ObjectError("cause", text, text).problem == masked


@pytest.mark.parametrize(
    "text",
    [
        "models:/basic/1 of ada@home, Basic training",
        "missing bearer authentication",
        "src-token: expected a text",
        "assign=1 and design=blue",
        "s3://bucket/key?versionId=3",
        "Check the user name and password, or the token.",
        "the server repeats the page token 'abc', so its pages would never end",
        "source GET /api/2.0/mlflow/runs/get: HTTP 404",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert shaped(text) == text


@pytest.mark.parametrize("secret", ["a", "team", "x7#Q"])
@pytest.mark.parametrize(
    "text",
    [
        "The destination has a deleted experiment 'team'.",
        "a run of team-a cannot be moved",
        "steam, teams and x7#Qs",
        "Check the user name and password, or the token.",
    ],
)
def test_a_short_secret_garbles_no_sentence(secret: str, text: str) -> None:
    assert masking([secret])(text) == text


@pytest.mark.parametrize("secret", ["a", "team", "x7#Q"])
@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("password={} x", "password=*** x"),
        ('"password": "{}"', '"password": "***"'),
        ("the password '{}' is wrong", "the password '***' is wrong"),
        ("the token is {}.", "the token is ***."),
        ("Password: {}", "Password: ***"),
        ("http://ada:{}@host/x", "http://***@host/x"),
    ],
)
def test_a_short_secret_is_masked_where_it_is_told_as_one(secret: str, told: str, shown: str) -> None:
    # In an address, a secret that is no word is known by itself; the user before it is none.
    assert masking([secret])(told.format(secret)) in (shown, told.format("***"))


def test_the_login_of_a_short_password_is_masked_in_the_header_and_as_a_pair() -> None:
    header = "Basic " + b64encode(b"ada-lovelace:team").decode()
    mask = masking(auth.secrets({"authorization": header}))
    assert mask(f"got {header.removeprefix('Basic ')} for ada-lovelace:team of team") == "got *** for *** of team"


class _Part(NamedTuple):
    text: str


class _Whole(msgspec.Struct, frozen=True):
    number: int
    parts: tuple[_Part, ...]
    more: dict[str, list[str]]
    nothing: None = None


def test_every_text_of_a_value_is_masked() -> None:
    whole = _Whole(1, (_Part("hidden4711 one"),), {"hidden4711": ["is hidden4711"]})
    assert masked(whole, masking(["hidden4711"])) == _Whole(1, (_Part("*** one"),), {"***": ["is ***"]})


def test_variables_of_secrets_are_known_by_their_names() -> None:
    environ = {
        "AWS_SECRET_ACCESS_KEY": "secret-1",
        "AWS_SESSION_TOKEN": "secret-2",
        "BULKEXIM_SRC_MLFLOW_TRACKING_PASSWORD": "secret-3",
        "AZURE_STORAGE_ACCESS_KEY": "secret-4",
        "TOKENIZERS_PARALLELISM": "true",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
        "HOME": "/home/ada",
    }
    assert list(in_environment(environ)) == [f"secret-{number}" for number in range(1, 5)]


@pytest.mark.parametrize(
    ("login", "known"),
    [
        ({"uri": "http://ada:se%20cret@host:5000"}, {"se%20cret", "se cret", "YWRhOnNlIGNyZXQ="}),
        ({"uri": "http://only-a-token@host"}, {"only-a-token"}),
        ({"uri": "http://ada:raw/slash@host"}, {"raw/slash"}),
        ({"uri": "http://ada:se://cret@host"}, {"se://cret"}),
        ({"uri": "http://h", "username": "ada", "password": "pw"}, {"pw", "YWRhOnB3"}),
        ({"uri": "http://h", "token": "a-token"}, {"a-token"}),
    ],
)
def test_the_secrets_of_an_end_are_known(
    login: dict[str, str], known: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"x-plugin": "of-a-plugin", "x-team": "blue"}
    monkeypatch.setattr(auth, "plugin_headers", lambda: lambda: given)
    found = set(auth.all_secrets(Endpoint(**login)))  # type: ignore[arg-type]  # all of them are texts
    assert known | {"of-a-plugin"} <= found
    assert "blue" not in found


def test_a_long_text_costs_little() -> None:
    mask = masking(["a-secret", "another secret"])
    started = time.process_time()
    for piece in ("a", "x-", "bearer ", "%3A%2F%2F", "cookie: a;", "token=", "eyJaaaaaaaaaaa-", "://a:", "token\\"):
        mask(piece * (100_000 // len(piece)))
    assert time.process_time() - started < 5
