"""The edge's function and the server's own check of links judge alike: case by case, and for addresses that nobody thought of."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.edge_cases import EDGE, Case, Seen, SelfCheck, load_cases, load_world
from zarrlink.edge.addresses import check_canonical, check_other, parse_address
from zarrlink.errors import InvalidRequest, LinkGone
from zarrlink.http.message import CORS, PREFLIGHT
from zarrlink.links.token import KeyRing

HERE = Path(__file__).parent
CASES = load_cases()
WORLD = load_world()
Json = dict[str, Any]


def by_node(cases: list[Case]) -> list[Json]:
    """What the function makes of them, in one process."""
    if shutil.which("node") is None:
        pytest.skip("no node: the edge's function is not compared with the server")
    given = json.dumps([case.to_json() for case in cases])
    run = subprocess.run(["node", HERE / "batch.mjs"], input=given, capture_output=True, text=True, check=True)
    found: list[Json] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def server() -> SelfCheck:
    return SelfCheck()


def test_the_functions_under_node() -> None:
    """The cases, and what a browser may keep: `node --test`."""
    if shutil.which("node") is None:
        pytest.skip("no node: the edge's functions are not tested on their own")
    run = subprocess.run(
        ["node", "--test", *sorted(HERE.glob("*_test.mjs"))], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert "# fail 0" in run.stdout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_server_without_a_cdn_judges_alike(server: SelfCheck, case: Case) -> None:
    seen = server.send(case)
    expected = case.expected
    if "status" in expected:
        assert seen.passed is None
        assert seen.status == expected["status"]
        assert seen.headers["access-control-allow-origin"] == "*"
        assert {name: seen.headers.get(name) for name in expected["headers"]} == expected["headers"]
    elif "link" in expected or "token" in expected:
        assert seen.status == expected.get("origin", 200)
        assert seen.passed is None
        assert_opened(seen, expected["uri"], expected.get("link"), expected.get("token"))
    else:
        assert seen.passed == (expected["uri"], expected.get("query", ""))


def assert_opened(seen: Seen, uri: str, link: str | None, token: str | None) -> None:
    """The server looked at the same link, and below it at the same layer and key."""
    if link is None:
        # An unchecked token: a forged one names no link.
        assert token is not None
        assert seen.link in (token[1:17], None)
    else:
        assert seen.link == link
    # /c/view/revision/rest, /u/link/rest
    rest = uri.split("/", 4 if uri.startswith("/c/") else 3)[-1]
    if uri.startswith("/c/") or seen.place is not None:
        assert seen.place == unquoted_layer(rest)


def unquoted_layer(rest: str) -> str:
    dialect, layer, key = rest.split("/", 2)
    return f"{dialect}/{unquote(layer)}/{key}"


def test_cors_at_the_edge_is_the_servers() -> None:
    (answer,) = by_node([next(case for case in CASES if case.name == "methods: a preflight needs no link")])
    ours = {name.decode(): value.decode() for name, value in PREFLIGHT}
    assert answer["headers"] == ours
    (answer,) = by_node([next(case for case in CASES if case.name == "lives: revoked")])
    for name, value in CORS:
        assert answer["headers"][name.decode()] == value.decode()


def test_problems_at_the_edge_are_in_the_servers_words() -> None:
    from zarrlink.errors import MethodNotAllowed
    from zarrlink.http.problems import problem_of

    kinds = {400: InvalidRequest("x"), 405: MethodNotAllowed("POST", ("GET", "HEAD", "OPTIONS")), 410: LinkGone("x")}
    answers = [
        one for one in by_node(CASES) if one.get("headers", {}).get("content-type") == "application/problem+json"
    ]
    for answer in answers:
        if not answer["body"]:
            continue
        said = json.loads(answer["body"])
        ours = problem_of(kinds[answer["status"]])
        assert (said["type"], said["title"]) == (f"about:blank#{ours.slug}", ours.title)
        assert said["messages"] == [{"error": said["detail"]}]
    assert {json.loads(answer["body"])["status"] for answer in answers if answer["body"]} == set(kinds)


def test_the_tokens_of_the_cases_are_what_the_server_makes() -> None:
    names = WORLD["names"]
    import base64

    for name in ("open", "twin", "expired", "revoked", "new", "other"):
        key_id = names[name][0]
        ring = KeyRing({key_id: base64.b64decode(WORLD["entries"][f"k:{key_id}"])}, key_id)
        assert ring.token(names[f"{name}.id"]) == names[name]


# Pieces of addresses, good and bad; what is made of them is judged twice.
PIECES = [
    *(
        "/",
        "//",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2F",
        "%2f",
        "%5C",
        "\\",
        "%25",
        "%252e",
        "%00",
        "%",
        "%4",
        "%C3%A4",
        "%FF",
        "ä",
    ),
    *(
        "zarr",
        "ZARR",
        "data",
        "c",
        "u",
        "C",
        "%63",
        "v2",
        "v3",
        "w2",
        "w3",
        "v14",
        "v15",
        "v1",
        "annotations",
        "api",
        "zarr3_experimental",
    ),
    *(
        "color.zarr",
        "color",
        "secret.zarr",
        "Zellen%20100%25%20%C3%A4.zarr",
        "zarr.json",
        ".zarray",
        ".zgroup",
        "0",
        "1",
        "2-2-1",
    ),
    *(
        "c/0/0/0",
        "0/0/0",
        "0.0.0.0",
        "-",
        ";",
        "?"[:0],
        "+",
        "~",
        "%7E",
        "a",
        "Z",
        "_",
        "0123456789abcdef01234567",
        '"',
        "<",
        "|",
    ),
    *(token for name, token in WORLD["names"].items() if not name.endswith(".id")),
]
TOKENS = [token for name, token in WORLD["names"].items() if len(token) == 33]
VALID = sorted({case.request["uri"] for case in CASES if "uri" in case.expected and len(case.request["uri"]) < 300})


def mutated(chance: random.Random) -> str:
    """An address of a case with something put in, taken out, doubled or exchanged, at times several of these."""
    path = chance.choice(VALID)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at, piece = chance.randrange(len(path) + 1), chance.choice(PIECES)
        end = min(len(path), at + chance.choice((0, 0, 1, 2, len(piece))))
        kind = chance.randrange(6)
        if kind == 0:
            path = path[:at] + chance.choice(path or "/") + path[end:]
        elif kind == 1:
            path = path[:at] + path[end:]
        elif kind == 2:
            segments = path.split("/")
            segments[chance.randrange(len(segments))] = piece
            path = "/".join(segments)
        elif kind == 3:
            path = path[:at] + f"%{ord(path[at - 1]) % 256:02X}" + path[at:] if path else path
        elif kind == 4:
            path = path.replace(chance.choice(TOKENS), chance.choice(TOKENS))
        else:
            path = path[:at] + piece + path[end:]
    return path


def test_whatever_is_asked_is_judged_alike(server: SelfCheck) -> None:
    """Thousands of addresses next to valid ones: status, link, dialect, layer and key are the same on both sides."""
    chance = random.Random(7)
    stores = [WORLD["entries"], WORLD["entries"], WORLD["entries"], {}]
    requests = [
        {
            "uri": mutated(chance),
            "method": chance.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "POST")),
            "headers": {"accept": chance.choice(("*/*", "text/html", "application/json"))},
        }
        for _ in range(3000)
    ]
    cases = [Case(json.dumps(request), request, {}, chance.choice(stores), WORLD["now_ms"]) for request in requests]
    kinds = set()
    for case, edge in zip(cases, by_node(cases), strict=True):
        kinds.add(assert_alike(server.send(case), edge, case))
    assert kinds >= {"passed on", "/c/", "/u/", "/u/-/", 204, 400, 405, 410}


def assert_alike(seen: Seen, edge: Json, case: Case) -> str | int:
    if "status" in edge:
        # Without keys a made-up token is seen by nobody before the origin: until then its address is judged, and the
        # page's redirect leads to where the token is checked.
        blind = not case.entries and seen.status == 410 and edge["status"] in (308, 400)
        assert seen.status == edge["status"] or blind, (case, seen, edge)
        assert seen.passed is None
        status: int = edge["status"]
        return status
    headers = edge["headers"]
    link, token = headers.get("x-zarrlink-link"), headers.get("x-zarrlink-token")
    if link is None and token is None:
        assert seen.passed == (case.request["uri"], ""), (case, seen, edge)
        return "passed on"
    # What the origin refuses of a checked link is no matter of the link or the address as such.
    assert seen.passed is None, (case, seen, edge)
    assert seen.status not in (204, 308, 405), (case, seen, edge)
    assert_opened(seen, edge["uri"], link, token)
    return "/c/" if edge["uri"].startswith("/c/") else "/u/-/" if token else "/u/"


@given(
    st.lists(st.sampled_from([*"/.%25eEfFcCuU\\2030za", "/zarr/", "/data/", "annotations/", "ä", "\ud800", "\n", "\0"]))
)
@settings(max_examples=500)
def test_any_text_is_parsed_or_refused(pieces: list[str]) -> None:
    path = "".join(pieces)
    address = parse_address(path)
    try:
        check_other(path) if address is None else check_canonical(address.rest)
    except (LinkGone, InvalidRequest):
        return
    if address is None:
        # Nothing that a server might read as the CDN's own, however it decodes and joins.
        decoded = path
        for _ in range(4):
            segments = [one for one in decoded.replace("\\", "/").split("/") if one]
            assert not {".", ".."} & set(segments)
            assert segments[:1] not in (["c"], ["u"])
            decoded = unquote(decoded)
    else:
        assert not {"", ".", ".."} & set(unquote(address.rest.removesuffix("/") or "x").split("/"))


@pytest.mark.parametrize("name", ["viewer_request.js", "viewer_response.js"])
def test_a_function_fits_cloudfront(name: str) -> None:
    """10 KB, comments too; and the template holds it as text, so ASCII."""
    text = (EDGE / name).read_bytes()
    assert len(text) <= 9 * 1024
    assert text.isascii()
