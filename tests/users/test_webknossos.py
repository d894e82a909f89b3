"""Users of a WEBKNOSSOS server, as it vouches for them over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from builders.vouching import Webknossos, person
from zarrlink.errors import InvalidRequest, SignInUnavailable
from zarrlink.users import outside
from zarrlink.users.interface import User
from zarrlink.users.vouching import NOBODY, REFUSED_S, REMEMBERED_S, RememberingVoucher
from zarrlink.users.webknossos import WebknossosUsers

TOKEN = "aaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
def server() -> Iterator[Webknossos]:
    server = Webknossos(people={TOKEN: person()})
    with server.running():
        yield server


def test_somebody_is_called_by_e_mail_address(server: Webknossos) -> None:
    users = WebknossosUsers(f"{server.address}/")
    assert users.ask(TOKEN).user == User("wk:ann@lab.org", 0)
    ((path, headers),) = server.asked
    assert (path, headers["x-auth-token"]) == ("/api/user", TOKEN)


def test_or_by_id_where_that_is_no_name(server: Webknossos) -> None:
    for email in ("", "a b@lab.org", "\u00e4nn@lab.org", None, 7):
        server.people[TOKEN] = {**person(), "email": email}
        assert WebknossosUsers(server.address).ask(TOKEN).user == User("wk:65a0c1f2e4b0a1b2c3d4e5f9", 0)
    server.people[TOKEN] = {**person(), "email": None, "id": {"$oid": "x"}}
    with pytest.raises(SignInUnavailable):
        WebknossosUsers(server.address).ask(TOKEN)


def test_its_admins_are_ours_only_where_that_is_said(server: Webknossos) -> None:
    found = WebknossosUsers(server.address, admins=True).ask(TOKEN).user
    assert found == User("wk:ann@lab.org", 0, is_admin=True)
    server.people[TOKEN] = person(isAdmin="yes")
    found = WebknossosUsers(server.address, admins=True).ask(TOKEN).user
    assert found == User("wk:ann@lab.org", 0)


def test_who_is_not_active_or_of_another_organization_is_nobody(server: Webknossos) -> None:
    assert WebknossosUsers(server.address, organization="lab").ask(TOKEN).user is not None
    assert WebknossosUsers(server.address, organization="other").ask(TOKEN) == NOBODY
    server.people[TOKEN] = person(isActive=False)
    assert WebknossosUsers(server.address).ask(TOKEN) == NOBODY


@pytest.mark.parametrize("token", ["", "short", "with space in it", "line\r\nX-Evil: 1", "\u00e4" * 20, "a" * 600])
def test_what_is_no_token_is_not_sent(server: Webknossos, token: str) -> None:
    assert WebknossosUsers(server.address).ask(token) == NOBODY
    assert server.asked == []


@pytest.mark.parametrize("status", [401, 403])
def test_whom_it_does_not_know_is_nobody(server: Webknossos, status: int) -> None:
    server.failure = (status, b"who?")
    assert WebknossosUsers(server.address).ask(TOKEN) == NOBODY


@pytest.mark.parametrize(
    "failure",
    [
        (500, b"{}"),
        (404, b"{}"),
        (204, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"[" * 200_000),
        (200, b'{"isActive": true}'),
        (200, b'{"isActive": true, "id": "' + b"a" * outside.MAX_BYTES + b'"}'),
    ],
)
def test_a_failure_is_not_nobody(server: Webknossos, failure: tuple[int, bytes]) -> None:
    server.failure = failure
    with pytest.raises(SignInUnavailable) as caught:
        WebknossosUsers(server.address).ask(TOKEN)
    assert server.address not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_tokens_are_not_sent_on(server: Webknossos, status: int) -> None:
    other = Webknossos(people={TOKEN: person()})
    with other.running() as address:
        server.failure, server.headers = (status, b""), {"location": f"{address}/api/user"}
        with pytest.raises(SignInUnavailable):
            WebknossosUsers(server.address).ask(TOKEN)
    assert other.asked == []


def test_a_server_that_is_away_is_a_failure(server: Webknossos) -> None:
    away = Webknossos()
    with away.running() as address:
        users = WebknossosUsers(address)
    with pytest.raises(SignInUnavailable):
        users.ask(TOKEN)


@pytest.mark.parametrize(
    "url",
    [
        "http://webknossos.example",
        "ftp://webknossos.example",
        "webknossos.example",
        "https://",
        "https://ann:secret@webknossos.example",
        "https://webknossos.example?x=1",
        "http://127.0.0.1.evil.example",
    ],
)
def test_tokens_are_sent_to_nobody_who_could_be_overheard(url: str) -> None:
    with pytest.raises(InvalidRequest, match="WK_URL"):
        WebknossosUsers(url)


class Clock:
    """Seconds that stand still until moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_remembered_for_a_while(server: Webknossos) -> None:
    clock = Clock()
    users = RememberingVoucher(WebknossosUsers(server.address), monotonic=clock)
    assert users.at_hand(TOKEN) is None
    for _ in range(3):
        assert users.ask(TOKEN).user == User("wk:ann@lab.org", 0)
    assert users.at_hand(TOKEN) is not None
    assert len(server.asked) == 1
    del server.people[TOKEN]
    clock.now += REMEMBERED_S
    assert users.at_hand(TOKEN) is None
    assert users.ask(TOKEN) == NOBODY
    # Somebody who is let in again does not wait as long.
    server.people[TOKEN] = person()
    clock.now += REFUSED_S
    assert users.ask(TOKEN).user is not None


def test_a_failure_is_not_remembered(server: Webknossos) -> None:
    users = RememberingVoucher(WebknossosUsers(server.address))
    server.failure = (500, b"")
    with pytest.raises(SignInUnavailable):
        users.ask(TOKEN)
    server.failure = None
    assert users.ask(TOKEN).user is not None


def test_what_is_remembered_is_bounded_and_holds_no_token(server: Webknossos) -> None:
    users = RememberingVoucher(WebknossosUsers(server.address), most=3)
    for number in range(5):
        users.ask(f"{TOKEN}{number}")
    assert [users.at_hand(f"{TOKEN}{number}") is None for number in range(5)] == [True, True, False, False, False]
    assert TOKEN not in repr(users._known)


def test_many_requests_at_once_are_one_question(server: Webknossos) -> None:
    users = RememberingVoucher(WebknossosUsers(server.address))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(users.ask, [TOKEN] * 32))
    assert {answer.user for answer in found} == {User("wk:ann@lab.org", 0)}
    assert len(server.asked) == 1
