"""The adapters of `Users`, and the rules that all of them share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spoilt_rows import Spoil, in_file
from builders.state_files import state_file
from contracts.damaged_rows import DamagedUsersContract
from contracts.users import UsersContract
from zarrlink.errors import InvalidRequest
from zarrlink.sqlite_file import SqliteFile
from zarrlink.users.interface import User, Users, check_user_name, hash_user_token, new_user_token
from zarrlink.users.sqlite import SqliteUsers


class TestSqliteUsers(UsersContract, DamagedUsersContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[SqliteFile]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield file

    @pytest.fixture
    def users(self, file: SqliteFile) -> Users:
        return SqliteUsers(file)

    @pytest.fixture
    def spoil(self, file: SqliteFile) -> Spoil:
        return in_file(file, "users", "name")


def test_the_token_of_a_user_is_not_in_the_state_file(tmp_path: Path) -> None:
    token = new_user_token()
    with state_file(tmp_path / "state.sqlite") as file:
        SqliteUsers(file).add(User("anna", 7), hash_user_token(token))
        for path in tmp_path.iterdir():
            assert token.encode() not in path.read_bytes()


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_user_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {32}


@pytest.mark.parametrize("name", ["anna", "Anna.B-C_d+e@example.org", "7", "a" * 100])
def test_a_user_name_is_plain(name: str) -> None:
    check_user_name(name)


@pytest.mark.parametrize("name", ["", ".hidden", "-rf", "a b", "a/b", "a\n", "\u00e9", "a" * 101])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_user_name(name)
