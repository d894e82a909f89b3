"""Who asks: the user of a personal token, or somebody for whom another server vouches."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from zarrlink.errors import NotSignedIn
from zarrlink.users.interface import User, hash_user_token
from zarrlink.users.vouching import RememberingVoucher

if TYPE_CHECKING:
    from zarrlink.http.api import ApiServices

_PERSONAL: Final = APIKeyHeader(
    name="X-Auth-Token",
    scheme_name="personalToken",
    description="A personal token, or one of a WEBKNOSSOS server that vouches for its users here.",
    auto_error=False,
)
_BEARER: Final = HTTPBearer(
    scheme_name="openIdConnect",
    bearerFormat="JWT",
    description="A token of the OpenID Connect provider, where one is configured.",
    auto_error=False,
)
# Threads of their own: whoever waits for another server must not keep those that read voxels.
_ASKING: Final = ThreadPoolExecutor(8, "zarrlink-sign-in")


async def signed_in_or_not(
    request: Request,
    personal: Annotated[str | None, Security(_PERSONAL)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> User | None:
    """The user, None for whoever brings no token. Raises NotSignedIn for a token that is nobody's, SignInUnavailable."""
    services: ApiServices = request.app.state.services
    if personal is not None:
        return await _by_personal_token(services, personal)
    # Without anybody to vouch, the header is a proxy's business.
    if bearer is not None and services.vouchers.bearer is not None:
        user = await _vouched(services.vouchers.bearer, bearer.credentials)
        if user is None:
            raise NotSignedIn("the token in the Authorization header is not valid (any more): sign in again")
        return user
    return None


SignedInOrNot = Annotated[User | None, Depends(signed_in_or_not)]


async def signed_in(user: SignedInOrNot) -> User:
    """The user. Raises NotSignedIn, SignInUnavailable."""
    if user is None:
        raise not_signed_in()
    return user


SignedIn = Annotated[User, Depends(signed_in)]


async def signed_in_or_not_anyway(
    request: Request,
    user: SignedInOrNot,
    token: Annotated[str | None, Query(description="The personal token, where no header can be sent.")] = None,
) -> User | None:
    """As `signed_in_or_not`, for addresses that a browser opens by itself. Raises NotSignedIn, SignInUnavailable."""
    if user is None and token is not None:
        return await _by_personal_token(request.app.state.services, token)
    return user


SignedInOrNotAnyway = Annotated[User | None, Depends(signed_in_or_not_anyway)]


async def signed_in_anyway(user: SignedInOrNotAnyway) -> User:
    """As `signed_in`, for addresses that a browser opens by itself. Raises NotSignedIn, SignInUnavailable."""
    return await signed_in(user)


SignedInAnyway = Annotated[User, Depends(signed_in_anyway)]


async def _by_personal_token(services: ApiServices, token: str) -> User:
    user = services.users.by_token_hash(hash_user_token(token)) if token else None
    if user is None and token and services.vouchers.personal is not None:
        user = await _vouched(services.vouchers.personal, token)
    if user is None:
        raise not_signed_in()
    return user


async def _vouched(voucher: RememberingVoucher, token: str) -> User | None:
    found = voucher.at_hand(token)
    if found is None:
        found = await asyncio.get_running_loop().run_in_executor(_ASKING, voucher.ask, token)
    return found.user


def not_signed_in() -> NotSignedIn:
    """For whoever brings no token, or one that is nobody's."""
    return NotSignedIn("sign in with a personal token in the X-Auth-Token header")
