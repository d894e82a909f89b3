"""Who asks: the user of a personal token."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from zarrlink.errors import NotSignedIn
from zarrlink.users.interface import User, Users, hash_user_token


async def signed_in(request: Request, x_auth_token: Annotated[str | None, Header()] = None) -> User:
    """The user of a personal token. Raises NotSignedIn."""
    users: Users = request.app.state.services.users
    user = users.by_token_hash(hash_user_token(x_auth_token)) if x_auth_token else None
    if user is None:
        raise NotSignedIn("sign in with a personal token in the X-Auth-Token header")
    return user


SignedIn = Annotated[User, Depends(signed_in)]


async def signed_in_anyway(
    request: Request,
    x_auth_token: Annotated[str | None, Header()] = None,
    token: Annotated[str | None, Query(description="The personal token, where no header can be sent.")] = None,
) -> User:
    """The same, for addresses that a browser opens by itself. Raises NotSignedIn."""
    return await signed_in(request, x_auth_token or token)


SignedInAnyway = Annotated[User, Depends(signed_in_anyway)]
