"""The network and the servers misbehave in every way that a proxy can show: the migration arrives all the same.

Slices with fixed seeds of the campaigns that ``python -m bench.campaigns`` runs in full.
"""

from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime

import anyio
import httpx
import pytest

from tests.support.campaigns.cancel import cancel
from tests.support.campaigns.faults import LATE, MIXED, outage, survive, throttle
from tests.support.campaigns.ground import Ground, prepare
from tests.support.faults import Asked, Fault, Faults, Mix, Proxy, proxied, quiet
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant

SEARCH = "/api/2.0/mlflow/experiments/search"
CREATE = "/api/2.0/mlflow/experiments/create"


@pytest.fixture(scope="module")
def ground(servers: Servers, small_tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A few objects of each kind, and a destination with room for many trials."""
    return prepare(servers, small_tenant.url, tmp_path_factory.mktemp("trials"))


@pytest.fixture(scope="module")
def server(servers: Servers) -> MlflowServer:
    """A server to which the tests of the proxy itself write."""
    return servers.start()


def test_a_mix_of_faults_changes_nothing_but_the_time(ground: Ground) -> None:
    survived = anyio.run(lambda: survive(ground, [1, 2], MIXED))
    assert (survived.differences, survived.doubled) == ((), ())
    assert [codes[-1] for codes in survived.runs.values()] == [0, 0], survived.errors
    assert survived.worst_ratio <= 1.9


def test_commits_within_the_settling_time_leave_no_double(ground: Ground) -> None:
    survived = anyio.run(lambda: survive(ground, [1], LATE, label="late"))
    assert (survived.differences, survived.doubled) == ((), ())
    assert [codes[-1] for codes in survived.runs.values()] == [0], survived.errors


def test_a_rate_limit_is_found_and_kept(ground: Ground) -> None:
    throttled = anyio.run(lambda: throttle(ground, rate=25.0, skip=1.0))
    assert (throttled.exit_code, throttled.differences, throttled.ignored) == (0, (), 0)
    # How much of the rate is used depends on the machine; the campaign F3 measures it.
    assert throttled.refused <= 0.3


def test_a_server_that_went_away_and_came_back_is_waited_for(ground: Ground) -> None:
    away = anyio.run(lambda: outage(ground, at_request=40, away=1.0, knocks=6))
    assert (away.exit_code, away.error, away.differences) == (0, "", ())
    assert away.knocks >= 6


def test_cancelled_requests_lose_no_connection(small_tenant: Tenant) -> None:
    left = anyio.run(lambda: cancel(small_tenant.url, calls=400, seconds=0.0, later=50))
    assert (left.leaked, left.stuck, left.later_failed) == (0, 0, 0)
    assert left.cancelled >= 50


class TestTheProxyItself:
    """A campaign proves only what its faults really do."""

    pytestmark = pytest.mark.anyio

    async def test_what_is_passed_arrives_whole_both_ways(self, server: MlflowServer) -> None:
        content = bytes(range(256)) * 4096
        path = "/api/2.0/mlflow-artifacts/artifacts/of the proxy/a%20b.bin"
        async with proxied(server.url, Faults()) as proxy, _http(proxy) as http:
            (await http.put(path, content=content)).raise_for_status()
            assert (await http.get(path)).content == content
            chunked = await http.put(path, content=_in_chunks(content))
            chunked.raise_for_status()
            assert (await http.get(path)).content == content

    async def test_the_same_seed_meets_the_same_requests(self) -> None:
        def chosen(seed: int) -> list[Fault]:
            mix = Mix(seed, MIXED)
            return [mix(Asked(number, "source", "GET", "/")) for number in range(1, 2001)]

        assert chosen(1) == chosen(1) != chosen(2)
        share = sum(fault is not Fault.PASS for fault in chosen(1)) / 2000
        assert share == pytest.approx(sum(MIXED.values()) / 100, abs=0.04)

    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            (Fault.BUSY_SECONDS, 429),
            (Fault.BUSY_DATE, 429),
            (Fault.ERROR_500, 500),
            (Fault.ERROR_503, 503),
            (Fault.PAGE, 200),
        ],
    )
    async def test_an_answer_of_the_proxy_keeps_the_request_from_the_server(
        self, server: MlflowServer, fault: Fault, status: int
    ) -> None:
        async with proxied(server.url, Faults(_first(fault), retry_after=7)) as proxy, _http(proxy) as http:
            answer = await http.post(CREATE, json={"name": fault.value})
            assert answer.status_code == status
            if fault is Fault.BUSY_SECONDS:
                assert answer.headers["retry-after"] == "7"
            if fault is Fault.BUSY_DATE:
                assert parsedate_to_datetime(answer.headers["retry-after"]).tzinfo is not None
            assert (await http.post(CREATE, json={"name": fault.value})).status_code == 200

    @pytest.mark.parametrize(
        ("fault", "carried_out"),
        [(Fault.RESET_BEFORE, False), (Fault.RESET_AFTER, True), (Fault.CUT, True), (Fault.LATE, False)],
    )
    async def test_a_broken_connection_may_or_may_not_stand_for_work_that_was_done(
        self, server: MlflowServer, fault: Fault, carried_out: bool
    ) -> None:
        body = {"name": fault.value}
        async with proxied(server.url, Faults(_first(fault))) as proxy, _http(proxy) as http:
            with pytest.raises(httpx.TransportError):
                await http.post(CREATE, json=body)
            assert (await _exists(http, fault.value)) is carried_out
            await proxy.release()
            assert (await _exists(http, fault.value)) is (carried_out or fault is Fault.LATE)

    async def test_a_silent_server_works_on_when_the_client_has_gone(self, server: MlflowServer) -> None:
        async with proxied(server.url, Faults(_first(Fault.SILENT))) as proxy, _http(proxy) as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.post(CREATE, json={"name": "silent"}, timeout=0.2)
            with anyio.fail_after(10):
                await proxy.idle()
            assert await _exists(http, "silent")

    async def test_a_page_token_is_repeated(self, server: MlflowServer) -> None:
        async with proxied(server.url, Faults()) as proxy, _http(proxy) as http:
            await http.post(CREATE, json={"name": "one more page"})
            first = (await http.post(SEARCH, json={"max_results": 1})).json()["next_page_token"]
            proxy.faults.rule = lambda _: Fault.TOKEN
            second = await http.post(SEARCH, json={"max_results": 1, "page_token": first})
            assert second.json()["next_page_token"] == first

    async def test_drips_make_up_the_whole(self, server: MlflowServer) -> None:
        async with proxied(server.url, Faults()) as proxy, _http(proxy) as http:
            whole = await http.post(SEARCH, json={"max_results": 10})
            proxy.faults.rule = lambda _: Fault.DRIP
            assert (await http.post(SEARCH, json={"max_results": 10})).content == whole.content


def _http(proxy: Proxy) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=proxy.url, timeout=20, trust_env=False)


def _first(fault: Fault) -> Callable[[Asked], Fault]:
    return lambda asked: fault if asked.number == 1 else quiet(asked)


async def _in_chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


async def _exists(http: httpx.AsyncClient, name: str) -> bool:
    answer = await http.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
    return answer.status_code == 200
