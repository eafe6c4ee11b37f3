"""The page's files: which are served, as what, and what they may do."""

from pathlib import Path

import pytest
from falcon.testing import TestClient
from sqlalchemy import Engine

from buses import rest
from pci_agent.api import page
from pci_agent.tracker.store import Store

UI = Path(page.__file__).parent / "ui"


@pytest.fixture
def client(sqlite: Engine) -> TestClient:
    return rest(Store(sqlite, host_down_s=75))


def test_every_file_of_the_page_is_served_and_nothing_else(client: TestClient) -> None:
    assert {*page.FILES, "index.html"} == {path.name for path in UI.iterdir()}
    for name in ("", *page.FILES):
        answer = client.simulate_get(f"/ui/{name}")
        assert answer.status_code == 200, name
        assert answer.content == (UI / (name or "index.html")).read_bytes()
    for name in ("nothing.js", "../app.py", "..%2fapp.py", "%2e%2e/app.py", ".", "ui"):
        assert client.simulate_get(f"/ui/{name}").status_code in (308, 404), name


@pytest.mark.parametrize(
    ("name", "kind"),
    [("", "text/html"), ("app.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
def test_a_file_says_what_it_is_and_what_it_may(client: TestClient, name: str, kind: str) -> None:
    headers = client.simulate_get(f"/ui/{name}").headers
    assert headers["Content-Type"].startswith(kind)
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_a_browser_that_has_a_file_is_not_sent_it_again(client: TestClient) -> None:
    first = client.simulate_get("/ui/app.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.simulate_get("/ui/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.simulate_get("/ui/app.js", headers={"If-None-Match": '"another"'}).status_code == 200


def test_the_page_is_found_without_its_slash_and_by_a_browser_at_the_root(client: TestClient) -> None:
    for path, headers in (("/ui", {}), ("/", {"Accept": "text/html,*/*;q=0.8"})):
        answer = client.simulate_get(path, headers=headers)
        assert (answer.status_code // 100, answer.headers["Location"]) == (3, "/ui/")
        below = client.simulate_get(path, headers=headers, root_path="/pci")
        assert below.headers["Location"] == "/pci/ui/"
    for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        assert client.simulate_get("/", headers=headers).json["name"] == "pci-agent"


def test_no_file_writes_markup_or_asks_for_anything_elsewhere() -> None:
    for path in UI.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "://", "style="):
            assert word not in text, f"{path.name}: {word}"


def test_every_module_opens_with_its_rule() -> None:
    for path in UI.glob("*.js"):
        assert path.read_text().startswith("// "), path.name
