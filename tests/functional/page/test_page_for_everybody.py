"""The page for whoever can't use a mouse, see its colours or has but a small screen."""

import re
from itertools import pairwise
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import Reader, reader
from looked_at import BARE, BESIDE, FIRST_VF, LAB, WEB, Looked
from playwright.sync_api import Browser, expect

Shown = tuple[Looked, str]


def views(looked: Looked) -> dict[str, str]:
    """Every view, by name."""
    return {
        "overview": "",
        "devices": "devices",
        "instances": "instances",
        "host": f"host/{LAB}",
        "bare-host": f"host/{BARE}",
        "device": f"device/{looked.device(LAB, FIRST_VF)['uuid']}",
        "disabled-device": f"device/{looked.device(LAB, '0000:61:00.0')['uuid']}",
        "function": f"function/0000:04:00.0?host={BESIDE}",
        "refused": "devices?vendor_id=Intel",
        "instance": f"instance/{WEB}",
        "search": "search?q=04:10",
        "found": "search?q=8086:1520",
        "nothing": "nonsense",
        "gone": "host/nowhere",
    }


def opened(someone: Reader, view: str) -> None:
    """Open a view with all that can be opened on it."""
    someone.goes_to(view)
    expect(someone.page.locator(".reading, [aria-busy]")).to_have_count(0)
    for summary in someone.page.locator("main summary").all():
        summary.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(shown: Shown, browser: Browser, scheme: Any) -> None:
    looked, url = shown
    found: dict[str, list[str]] = {}
    with reader(browser, url, color_scheme=scheme, bypass_csp=True) as someone:
        for name, view in views(looked).items():
            opened(someone, view)
            told = Axe().run(someone.page).response["violations"]
            bad = [
                f"{each['id']}: {node['html'][:160]}"
                for each in told
                if each["impact"] in ("serious", "critical")
                for node in each["nodes"]
            ]
            found |= {name: bad} if bad else {}
    assert found == {}


def test_nothing_scrolls_sideways_at_360_pixels(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    wide: dict[str, int] = {}
    with reader(browser, url, viewport={"width": 360, "height": 740}, device_scale_factor=2) as someone:
        for name, view in views(looked).items():
            opened(someone, view)
            widths = someone.page.evaluate(
                "[document.documentElement.scrollWidth, ...[...document.querySelectorAll('body *')]"
                ".filter((each) => !each.closest('.unseen, thead, option'))"
                ".map((each) => Math.round(each.getBoundingClientRect().right))]"
            )
            wide |= {name: max(widths)} if max(widths) > 360 else {}
            if name in ("device", "devices", "host"):
                someone.keeps(f"{name}-on-a-phone")
    assert wide == {}


def test_every_view_has_one_heading_at_the_top_and_its_landmarks(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    with reader(browser, url) as someone:
        for name, view in views(looked).items():
            opened(someone, view)
            headings = someone.page.locator("h1, h2, h3, h4").evaluate_all(
                "(all) => all.map((each) => Number(each.tagName[1]))"
            )
            assert headings.count(1) == 1, name
            assert headings[0] == 1, name
            assert all(after - before <= 1 for before, after in pairwise(headings)), name
            said = someone.page.locator("body").inner_text()
            assert re.search(r"undefined|NaN|Invalid|\[object", said) is None, name
            for landmark in ("banner", "main", "search", "navigation"):
                assert someone.page.get_by_role(landmark).count() >= 1, (name, landmark)


def test_a_reader_who_goes_back_is_where_they_were(shown: Shown, browser: Browser) -> None:
    _, url = shown
    with reader(browser, url, viewport={"width": 360, "height": 400}) as someone:
        someone.goes_to("", "Fleet")
        link = someone.page.get_by_role("link", name=BESIDE, exact=True)
        link.scroll_into_view_if_needed()
        down = someone.page.evaluate("scrollY")
        assert down > 0
        link.click()
        expect(someone.page.locator("h1")).to_have_text(BESIDE)
        someone.page.go_back()
        expect(someone.page.locator("h1")).to_have_text("Fleet")
        assert someone.page.evaluate("scrollY") == down
