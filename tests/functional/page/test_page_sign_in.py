"""Signing in on the page, with a real keystone: who sees what, and what stays in the browser afterwards."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import Reader, reader
from guarded import serving
from keystones import Keystone, User
from looked_at import FIRST_VF, LAB, Looked, furnished, looked_at
from playwright.sync_api import Browser, expect

from buses import parts

OWNED = "0f5e7a52-8a55-4d0e-9a4e-b6c1f2d7a803"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[tuple[Looked, str]]:
    """A furnished fleet that keystone guards; an instance of the owner's project holds a device of it."""
    folder = tmp_path_factory.mktemp("guarded")
    with looked_at(folder) as looked:
        furnished(looked)
        network = {"physical_network": "physnet2"}
        looked.claim(OWNED, LAB, "owned-1", project=keystone.project_of(keystone.owner), tags=network)
        looked.fleet.report()
        of = parts(looked.fleet.store, agents=looked.fleet.agents)
        with serving(folder / "api", of, keystone.configuration()) as served:
            yield looked, served.origin


def signs_in(someone: Reader, user: User, password: str | None = None) -> None:
    """Fill the form, and send it."""
    someone.page.get_by_label("User name").fill(user.name)
    someone.page.get_by_label("Password").fill(password or user.password)
    someone.page.get_by_label("Project", exact=True).fill(user.project)
    someone.page.get_by_role("button", name="Sign in").click()


def test_a_stranger_signs_in_and_sees_what_they_came_for(
    guarded: tuple[Looked, str], keystone: Keystone, browser: Browser
) -> None:
    looked, url = guarded
    with reader(browser, url) as someone:
        asked: list[str] = []
        someone.page.on("request", lambda request: asked.append(request.url))
        someone.goes_to(f"host/{LAB}", "Sign in")
        assert not [each for each in asked if "/v3/" in each], "nothing is asked for before"
        expect(someone.page.get_by_role("search")).to_have_count(0)
        signs_in(someone, keystone.admin, "guessed")
        expect(someone.page.get_by_role("alert")).to_contain_text("Keystone knows no user admin")
        expect(someone.page.get_by_label("Password")).to_have_value("")
        expect(someone.page.get_by_label("Password")).to_be_focused()
        someone.page.get_by_label("Password").fill(keystone.admin.password)
        someone.page.keyboard.press("Enter")
        expect(someone.page.locator("h1")).to_have_text(LAB)
        expect(someone.page.locator("#who")).to_contain_text("admin admin")
        someone.page.reload()
        expect(someone.page.locator("h1")).to_have_text(LAB)
        kept = someone.page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])")
        assert kept == '["",{},{}]', "no script can read what stands for somebody"
        assert not [each for each in asked if keystone.admin.password in each]
        device = looked.device(LAB, "0000:21:11.0")
        someone.goes_to(f"device/{device['uuid']}", device["dev_id"])
        someone.page.get_by_text("Disable", exact=True).click()
        someone.page.get_by_label("Reason").fill("its port flaps")
        someone.page.get_by_role("button", name="Disable this device").click()
        expect(someone.page.locator(".standing")).to_contain_text("disabled by admin: its port flaps")


def test_who_signs_out_or_whose_session_is_over_signs_in_again(
    guarded: tuple[Looked, str], keystone: Keystone, browser: Browser
) -> None:
    _, url = guarded
    with reader(browser, url) as someone:
        someone.goes_to("devices", "Sign in")
        signs_in(someone, keystone.admin)
        expect(someone.page.locator("h1")).to_have_text("Devices")
        someone.page.get_by_role("link", name="Instances").click()
        expect(someone.page.locator("h1")).to_have_text("Instances")
        someone.page.get_by_role("button", name="Sign out").click()
        expect(someone.page.locator("h1")).to_have_text("Sign in")
        someone.sees("You are signed out.")
        assert someone.page.context.cookies() == []
        someone.page.go_back()
        expect(someone.page.locator("h1")).to_have_text("Sign in")
        someone.goes_to("devices", "Sign in")
        signs_in(someone, keystone.admin)
        expect(someone.page.locator("tbody tr").first).to_be_visible()
        someone.page.context.clear_cookies()
        someone.page.get_by_role("button", name="Refresh").click()
        someone.sees("The session is over: sign in again.")
        signs_in(someone, keystone.admin)
        expect(someone.page.locator("h1")).to_have_text("Devices")


def test_an_owner_sees_what_their_instances_hold_and_no_more(
    guarded: tuple[Looked, str], keystone: Keystone, browser: Browser
) -> None:
    looked, url = guarded
    (held,) = looked.get(f"/v3/os-pci?instance_uuid={OWNED}")["pci_devices"]
    with reader(browser, url) as someone:
        someone.goes_to("", "Sign in")
        signs_in(someone, keystone.owner)
        expect(someone.page.locator("h1")).to_have_text("It isn’t for you")
        someone.sees("os-hypervisors:detail doesn't allow this to oscar")
        someone.page.get_by_role("link", name="Instances").last.click()
        expect(someone.page.locator("tbody tr")).to_have_count(1)
        expect(someone.row(OWNED)).to_contain_text(held["uuid"])
        someone.page.get_by_role("link", name=OWNED).click()
        expect(someone.row(held["uuid"])).to_contain_text("owned-1")
        expect(someone.page.get_by_role("button", name="Free its devices")).to_have_count(0)
        someone.goes_to(f"device/{looked.device(LAB, FIRST_VF)['uuid']}", "It isn’t for you")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_is_for_everybody(guarded: tuple[Looked, str], browser: Browser, scheme: str) -> None:
    _, url = guarded
    small = {"width": 360, "height": 740}
    with reader(browser, url, color_scheme=scheme, bypass_csp=True, viewport=small) as someone:
        someone.goes_to("", "Sign in")
        expect(someone.page.get_by_label("User name")).to_be_focused()
        assert "null" not in someone.page.locator("body").inner_text()
        someone.page.get_by_text("Domains").click()
        told = Axe().run(someone.page).response["violations"]
        assert [each["id"] for each in told if each["impact"] in ("serious", "critical")] == []
        assert someone.page.evaluate("document.documentElement.scrollWidth") == 360
        someone.keeps(f"sign-in-{scheme}")
