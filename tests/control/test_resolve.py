import asyncio
import socket
from typing import Any

import pytest

from pyfw.config import Config, Peer
from pyfw.control.resolve import resolve


def resolve_one(monkeypatch: pytest.MonkeyPatch, endpoint: str | None, answers: list[Any]) -> Any:
    queries: list[str] = []
    pauses: list[float] = []

    async def run() -> Any:
        async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
            queries.append(host)
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return [(0, 0, 0, "", (answer, port))]

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        peer = Peer(public_key=b"k" * 32, endpoint=endpoint)
        resolved = await resolve(Config(name="wg0", peers=(peer,)))
        return resolved.peers[0].endpoint

    return asyncio.run(run()), queries, pauses


@pytest.mark.parametrize("endpoint", [None, "192.0.2.1:7", "[2001:db8::1]:7", "[fe80::1%eth0]:7"])
def test_numeric_endpoints_are_not_looked_up(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    assert resolve_one(monkeypatch, endpoint, []) == (endpoint, [], [])


def test_a_name_resolves_to_its_first_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_one(monkeypatch, "vpn.example:7", ["2001:db8::1"])[0] == "[2001:db8::1]:7"
    assert resolve_one(monkeypatch, "vpn.example:7", ["192.0.2.1"])[0] == "192.0.2.1:7"


def test_temporary_errors_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    again = socket.gaierror(socket.EAI_AGAIN, "later")
    resolved, queries, pauses = resolve_one(
        monkeypatch, "vpn.example:7", [again, again, "192.0.2.1"]
    )
    assert resolved == "192.0.2.1:7"
    assert len(queries) == 3
    assert pauses == [1.0, 1.2]


def test_permanent_errors_name_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    none = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(OSError, match=r"vpn\.example:7: Name or service not known"):
        resolve_one(monkeypatch, "vpn.example:7", [none])


def test_the_number_of_retries_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WG_ENDPOINT_RESOLUTION_RETRIES", "1")
    again = socket.gaierror(socket.EAI_AGAIN, "later")
    with pytest.raises(OSError, match="later"):
        resolve_one(monkeypatch, "vpn.example:7", [again, again, "192.0.2.1"])
