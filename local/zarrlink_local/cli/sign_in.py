"""Options of `zarrlink serve`: who vouches for people beside the state file's own users."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from zarrlink.users.configured import SignInChoice


def sign_in_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options; the function gets the `choice` that they make."""

    @click.option(
        "--wk-url", default="", metavar="URL", help="Users of this WEBKNOSSOS server sign in with their tokens."
    )
    @click.option("--wk-organization", default="", metavar="ID", help="Of that server only users of this organization.")
    @click.option("--wk-admins", is_flag=True, help="Admins there are admins here.")
    @click.option("--oidc-issuer", default="", metavar="URL", help="Users of this OpenID Connect provider sign in.")
    @click.option("--oidc-audience", default="", metavar="NAME", help="Whom its tokens have to be for.")
    @click.option(
        "--oidc-user-claim", default="sub", show_default=True, metavar="CLAIM", help="What its users are named by."
    )
    @wraps(command)
    def run(
        *,
        wk_url: str,
        wk_organization: str,
        wk_admins: bool,
        oidc_issuer: str,
        oidc_audience: str,
        oidc_user_claim: str,
        **others: Any,
    ) -> None:
        choice = SignInChoice(wk_url, wk_organization, wk_admins, oidc_issuer, oidc_audience, oidc_user_claim)
        command(choice=choice, **others)

    return run
