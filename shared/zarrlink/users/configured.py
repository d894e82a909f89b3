"""Who is configured to vouch for people."""

from __future__ import annotations

from dataclasses import dataclass

from zarrlink.errors import InvalidRequest
from zarrlink.users.oidc import OidcUsers
from zarrlink.users.vouching import RememberingVoucher, Vouchers
from zarrlink.users.webknossos import WebknossosUsers


@dataclass(frozen=True, slots=True)
class SignInChoice:
    """What an operator may say about signing in beside personal tokens; by default there is nothing else.

    `wk_url`: a WEBKNOSSOS server; `wk_organization`: only its users; `wk_admins`: its admins are ours too. `oidc_issuer`,
    `oidc_audience`: the `iss` and `aud` of tokens; `oidc_user_claim`: what a user is named by.
    """

    wk_url: str = ""
    wk_organization: str = ""
    wk_admins: bool = False
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_user_claim: str = "sub"

    def vouchers(self) -> Vouchers:
        """Raises InvalidRequest for what does not fit together."""
        if (self.oidc_issuer == "") != (self.oidc_audience == ""):
            raise InvalidRequest("OIDC takes an issuer and an audience: a token for anybody else must not open this")
        if not self.wk_url and (self.wk_organization or self.wk_admins):
            raise InvalidRequest("an organization or its admins are of a WEBKNOSSOS server: say its address as well")
        personal = bearer = None
        if self.wk_url:
            users = WebknossosUsers(self.wk_url, organization=self.wk_organization, admins=self.wk_admins)
            personal = RememberingVoucher(users)
        if self.oidc_issuer:
            bearer = RememberingVoucher(OidcUsers(self.oidc_issuer, self.oidc_audience, claim=self.oidc_user_claim))
        return Vouchers(personal, bearer)
