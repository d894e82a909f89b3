"""Users of a WEBKNOSSOS server, which tells whose a token is."""

from __future__ import annotations

import re
from typing import Final

from zarrlink.errors import SignInUnavailable
from zarrlink.users.interface import WEBKNOSSOS, User, outside_name
from zarrlink.users.outside import check_address, fetch_json
from zarrlink.users.vouching import NOBODY, REMEMBERED_S, Vouched

# What it gives out has 22 characters; whatever else comes is not worth a question.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_~.+/=-]{8,512}", re.ASCII)


class WebknossosUsers:
    """A `Voucher`. `organization`: only its users are let in; "": all of the server's. `admins`: its admins are ours too."""

    def __init__(self, url: str, *, organization: str = "", admins: bool = False) -> None:
        """Raises InvalidRequest for an address that a token should not be sent to."""
        self._address = f"{check_address(url, 'WK_URL')}/api/user"
        self._organization = organization
        self._admins = admins

    def ask(self, token: str) -> Vouched:
        if not _TOKEN.fullmatch(token):
            return NOBODY
        answer = fetch_json(self._address, {"X-Auth-Token": token})
        if answer.status in (401, 403):
            return NOBODY
        if not isinstance(answer.document, dict):
            raise SignInUnavailable("no user in the answer")
        found = answer.document
        if found.get("isActive") is not True or self._organization not in ("", found.get("organization")):
            return NOBODY
        email = found.get("email")
        # Nobody else has the same address in other letters.
        address = email.lower() if isinstance(email, str) else None
        name = outside_name(WEBKNOSSOS, address) or outside_name(WEBKNOSSOS, found.get("id"))
        if name is None:
            raise SignInUnavailable("a user without e-mail address and id")
        is_admin = self._admins and found.get("isAdmin") is True
        return Vouched(User(name, 0, is_admin=is_admin), REMEMBERED_S)
