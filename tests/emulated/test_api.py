"""`api` as built: links made, listed, changed and revoked."""

from __future__ import annotations

from typing import Any

from builders.emulator import skip_unless_built

skip_unless_built()


def test_a_link_is_made_listed_changed_and_revoked(deployment: Any) -> None:
    made = deployment.make_link(name="For Ann", note="until June")
    # The address that API Gateway says, not the one that the viewer's Host says.
    assert made["page"] == f"https://abc123.execute-api.eu-central-1.amazonaws.com/v1/zarr/{made['accessToken']}/"
    assert made in deployment.api("GET", "/api/zarrPrivateLinks")[1]
    assert deployment.api("GET", f"/api/v14/zarrPrivateLinks/{made['id']}") == (200, made)
    status, changed = deployment.api("PUT", f"/api/zarrPrivateLinks/{made['id']}", {"expirationDateTime": None})
    assert (status, changed["expirationDateTime"]) == (200, None)
    assert deployment.api("DELETE", f"/api/zarrPrivateLinks/{made['id']}")[0] == 200
    assert deployment.api("GET", f"/api/zarrPrivateLinks/{made['id']}")[0] == 404
    assert made["id"] not in [link["id"] for link in deployment.api("GET", "/api/zarrPrivateLinks")[1]]


def test_the_datasets_are_listed(deployment: Any) -> None:
    status, datasets = deployment.api("GET", "/api/datasets")
    assert status == 200
    assert (deployment.record.id, "mouse") in [(dataset["id"], dataset["name"]) for dataset in datasets]


def test_a_stranger_is_asked_to_sign_in(deployment: Any) -> None:
    for headers in ({}, {"x_auth_token": "another"}):
        assert deployment.send("GET", "/api/zarrPrivateLinks", **headers)["statusCode"] == 401


def test_nonsense_is_refused_in_words(deployment: Any) -> None:
    status, problem = deployment.api("POST", "/api/zarrPrivateLinks", {"dataset": deployment.record.id, "nmae": "x"})
    assert status == 400
    assert "nmae" in problem["detail"]
