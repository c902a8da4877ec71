"""Every way in which a login may be given to a command, each with secrets of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from bulkexim.http import auth
from tests.support.campaigns.canaries import Canaries


@dataclass(frozen=True)
class Login:
    """What is given to a command: variables and flags, and files at home. ``userinfo`` goes into both addresses."""

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    userinfo: str = ""
    plugins: bool = False

    def address(self, url: str) -> str:
        """The address of an end, with its login where that belongs there."""
        return url.replace("://", f"://{self.userinfo}@") if self.userinfo else url


def logins(home: Path, canaries: Canaries) -> list[Login]:
    """Every way there is; files are named from ``home``."""
    secret = canaries.__getitem__
    config = f"src-username = 'ada'\nsrc-password = '{secret('file')}'\ndst-token = '{secret('file token')}'\n"
    stored = f"[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = {secret('credentials')}\n"
    return [
        Login(
            "flags",
            flags=("--src-username", "ada", "--src-password", secret("flag"), "--dst-token", secret("token flag")),
        ),
        Login(
            "variables",
            {
                "BULKEXIM_SRC_TOKEN": secret("variable of the source"),
                "BULKEXIM_DST_MLFLOW_TRACKING_USERNAME": "ada",
                "BULKEXIM_DST_MLFLOW_TRACKING_PASSWORD": secret("variable of the destination"),
            },
        ),
        Login(
            "MLflow's variables",
            {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": secret("password variable")},
        ),
        Login("MLflow's token", {"MLFLOW_TRACKING_TOKEN": secret("token variable")}),
        Login("file", flags=("--config", str(home / "team.toml")), files={"team.toml": config}),
        Login("addresses", userinfo=f"ada:{quote(secret('address'), safe='')}"),
        Login("credentials", files={".mlflow/credentials": stored}),
        Login("plugins", {"BULKEXIM_SRC_AUTH": "signing", "BULKEXIM_DST_AUTH": "signing"}, plugins=True),
    ]


@contextmanager
def installed(canaries: Canaries) -> Iterator[None]:
    """Installs a plugin of each kind that MLflow has for logins."""

    class Headers:
        def in_context(self) -> bool:
            return True

        def request_headers(self) -> dict[str, str]:
            return {"x-plugin-token": canaries["header plugin"]}

    class Auth:
        def get_name(self) -> str:
            return "signing"

        def get_auth(self) -> Callable[[Any], Any]:
            def sign(request: Any) -> Any:
                request.headers["x-signature"] = canaries["auth plugin"]
                return request

            return sign

    found = {"mlflow.request_header_provider": Headers, "mlflow.request_auth_provider": Auth}
    with patch.object(auth, "entry_points", lambda group: [SimpleNamespace(load=lambda: found[group])]):
        yield
