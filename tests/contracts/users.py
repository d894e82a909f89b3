"""What every `Users` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from zarrlink.users.interface import User, Users, hash_user_token

ANNA, BEN = User("anna", 7), User("ben", 8)


class UsersContract(ABC):
    """Inherit it, and give a `users` fixture."""

    @pytest.fixture
    @abstractmethod
    def users(self) -> Users:
        """No users yet."""

    def test_a_user_is_found_by_the_hash_of_the_token(self, users: Users) -> None:
        users.add(ANNA, hash_user_token("token"))
        assert users.by_token_hash(hash_user_token("token")) == ANNA

    def test_another_token_is_nobody(self, users: Users) -> None:
        users.add(ANNA, hash_user_token("token"))
        assert users.by_token_hash(hash_user_token("Token")) is None
        assert users.by_token_hash("token") is None
        assert users.by_token_hash("") is None

    def test_a_name_is_taken_once(self, users: Users) -> None:
        users.add(ANNA, "one")
        with pytest.raises(ValueError, match="anna"):
            users.add(User("anna", 9), "two")
        assert users.all() == [ANNA]
        assert users.by_token_hash("two") is None

    def test_two_users_cannot_have_one_token(self, users: Users) -> None:
        users.add(ANNA, "one")
        with pytest.raises(ValueError, match=r"."):
            users.add(BEN, "one")
        assert users.all() == [ANNA]

    def test_users_are_listed_by_name(self, users: Users) -> None:
        users.add(BEN, "two")
        users.add(ANNA, "one")
        assert users.all() == [ANNA, BEN]

    def test_a_removed_user_is_nobody_any_more(self, users: Users) -> None:
        users.add(ANNA, "one")
        users.add(BEN, "two")
        assert users.remove("anna")
        assert users.by_token_hash("one") is None
        assert users.all() == [BEN]

    def test_removing_who_is_not_there_says_so(self, users: Users) -> None:
        assert not users.remove("anna")

    def test_it_can_be_told_whether_a_name_is_taken(self, users: Users) -> None:
        users.add(ANNA, "one")
        assert [users.has(name) for name in ("anna", "ben", "one", "")] == [True, False, False, False]
        users.remove("anna")
        assert not users.has("anna")

    def test_the_name_of_a_removed_user_is_free_again(self, users: Users) -> None:
        users.add(ANNA, "one")
        users.remove("anna")
        users.add(User("anna", 9), "two")
        assert users.all() == [User("anna", 9)]

    def test_a_renewed_token_ends_the_one_before(self, users: Users) -> None:
        users.add(ANNA, "one")
        users.add(BEN, "two")
        assert users.renew("anna", "three")
        assert users.by_token_hash("three") == ANNA
        assert users.by_token_hash("one") is None
        assert users.by_token_hash("two") == BEN
        assert users.all() == [ANNA, BEN]

    def test_renewing_who_is_not_there_says_so(self, users: Users) -> None:
        assert not users.renew("anna", "one")
        assert users.by_token_hash("one") is None

    def test_a_user_with_a_renewed_token_can_be_removed(self, users: Users) -> None:
        users.add(ANNA, "one")
        users.renew("anna", "two")
        assert users.remove("anna")
        assert users.by_token_hash("two") is None
        users.add(ANNA, "one")

    # --- admins ---

    def test_an_admin_stays_one(self, users: Users) -> None:
        admin = User("cleo", 9, is_admin=True)
        users.add(admin, "one")
        users.add(ANNA, "two")
        assert users.by_token_hash("one") == admin
        assert users.by_token_hash("two") == ANNA
        assert users.all() == [ANNA, admin]
        users.renew("cleo", "three")
        assert users.by_token_hash("three") == admin

    def test_a_user_becomes_an_admin_and_is_none_again(self, users: Users) -> None:
        users.add(ANNA, "one")
        users.add(BEN, "two")
        for is_admin in (True, True, False):
            assert users.set_admin("anna", is_admin=is_admin)
            assert users.by_token_hash("one") == User("anna", 7, is_admin=is_admin)
            assert users.all() == [User("anna", 7, is_admin=is_admin), BEN]
        users.set_admin("anna", is_admin=True)
        users.renew("anna", "three")
        assert users.by_token_hash("three") == User("anna", 7, is_admin=True)

    def test_who_is_not_there_becomes_no_admin(self, users: Users) -> None:
        assert not users.set_admin("anna", is_admin=True)
        assert users.all() == []
