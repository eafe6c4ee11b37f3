"""The page under what is done to it: names that are markup, a fleet of a thousand hosts, an API that is away."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from browsers import Reader, reader, served
from looked_at import LAB
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import text

from benches.reporting import Kind, Speaker
from buses import parts
from pci_agent.api.app import application
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import AgentStatus, DeviceRecord, PoolRecord, ProblemRecord, Report, Token, digest

HOSTS = 1000
MOST_ELEMENTS = 4000
MARKUP = '"><img src=x onerror=owned()>'
SCRIPT = "<script>owned()</script>"
LONG = "x" * 250
RTL = "\u202egpj.exe\u2066"
AS_SEEN = {RTL: r"\u{202e}gpj.exe\u{2066}"}


def record(uuid: str, address: str, **more: Any) -> DeviceRecord:
    return DeviceRecord(
        uuid=uuid,
        hash=uuid.encode().hex()[:8].ljust(32, "0"),
        address=address,
        vendor_id="8086",
        product_id="1520",
        dev_type="type-VF",
        label="label_8086_1520",
        **{"dev_id": "pci_0000_04_10_0", "status": "available", **more},
    )


def hostile(name: str, number: int) -> Report:
    """What an agent tells that means ill: every word of it that is text is markup."""
    devices = (
        record(
            f"device-{number}-a",
            "0000:04:10.0",
            dev_id=MARKUP,
            status="allocated",
            status_reason=f"{SCRIPT}{MARKUP}{LONG}",
            tags={"physical_network": MARKUP, SCRIPT: SCRIPT, "long": LONG, "rtl": RTL},
            extra_info={"driver": SCRIPT, MARKUP: LONG, "iommu_group": MARKUP},
            parent_addr="<b>0000:04",
            instance_uuid=MARKUP,
            request_id=SCRIPT,
            project_id=SCRIPT,
        ),
        record(f"device-{number}-b", "0000:04:10.1", status="<i>odd</i>", dev_id=RTL),
    )
    return Report(
        agent_uuid=f"agent-{number}",
        host=name,
        session=f"session-{number}",
        over=None,
        token=Token(session=f"session-{number}", generation=1, digest=digest(each.hash for each in devices)),
        full=True,
        devices=devices,
        pools=(
            PoolRecord(
                vendor_id="8086",
                product_id="1520",
                dev_type="type-VF",
                parent_addr="<b>0000:04",
                tags={"physical_network": MARKUP, SCRIPT: SCRIPT},
                free=0,
                used=1,
                total=2,
            ),
        ),
        status=AgentStatus(
            counter=1,
            agent_version=MARKUP,
            problems=(ProblemRecord(address=MARKUP, cause=SCRIPT),),
            config_errors=(SCRIPT,),
            unresolved_devnames=(MARKUP,),
        ),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A thousand hosts with 66 functions each, one of them silent; and four whose names are markup."""
    engine = database.connect(f"sqlite:///{tmp_path_factory.mktemp('thousand')}/tracker.sqlite")
    database.upgrade(engine)
    made = Store(engine, host_down_s=3600)
    first = Speaker(1).report(Kind(66, 32), 1)
    for number in range(1, HOSTS + 1):
        whole = Speaker(number).report(Kind(66, 32), 1) if number <= 3 else None
        made.accept(whole or few(Speaker(number), first))
    for number, name in enumerate((MARKUP, SCRIPT, LONG, RTL)):
        made.accept(hostile(name, number))
    with engine.begin() as connection:
        silent = "UPDATE compute_nodes SET last_seen = '2026-01-01 00:00:00.000000'"
        connection.execute(text(f"{silent} WHERE hypervisor_hostname = :name"), {"name": Speaker(7).host})
    yield made
    engine.dispose()


def few(speaker: Speaker, like: Report) -> Report:
    """Tell the pools of a whole host and only its PFs, since a page of a fleet shows no more of it."""
    devices = tuple(
        device.model_copy(update={"uuid": f"{speaker.number}-{place}"}) for place, device in enumerate(like.devices[:1])
    )
    token = Token(session=speaker.session, generation=1, digest=digest(each.hash for each in devices))
    return like.model_copy(
        update={
            "agent_uuid": speaker.uuid,
            "host": speaker.host,
            "session": speaker.session,
            "token": token,
            "devices": devices,
        }
    )


@pytest.fixture(scope="module")
def url(store: Store) -> Iterator[str]:
    with served(application(parts(store))) as made:
        yield made


def elements(someone: Reader) -> int:
    return int(someone.page.evaluate("document.getElementsByTagName('*').length"))


def test_a_fleet_of_a_thousand_hosts_opens_and_stays_small(url: str, browser: Browser) -> None:
    with reader(browser, url) as someone:
        since = time.monotonic()
        someone.goes_to("", "Fleet")
        expect(someone.page.locator(".figures")).to_contain_text("1,003")
        assert time.monotonic() - since < 15
        assert elements(someone) < MOST_ELEMENTS
        hosts = someone.page.get_by_role("table", name="Hosts").last.locator("tbody tr")
        expect(hosts).to_have_count(50)
        someone.page.get_by_label("Name has").type("00777")
        expect(hosts).to_have_count(1)
        expect(hosts).to_contain_text(Speaker(777).host)
        someone.page.get_by_label("Name has").fill("")
        someone.page.get_by_label("State").select_option("down")
        expect(hosts).to_have_count(1)
        expect(hosts).to_contain_text(Speaker(7).host)
        someone.page.get_by_label("State").select_option("")
        someone.page.get_by_role("button", name="Free").click()
        someone.page.get_by_role("link", name="Next").click()
        expect(someone.page.get_by_role("navigation", name="Pages of hosts")).to_contain_text("2 of 21")
        someone.searches("storm-00123")
        expect(someone.page.locator("h1")).to_have_text(Speaker(123).host)
        someone.goes_to("devices", "Devices")
        expect(someone.page.locator("tbody tr")).to_have_count(100)
        someone.page.get_by_role("link", name="Next page").click()
        expect(someone.page.get_by_role("link", name="First page")).to_be_visible()
        assert elements(someone) < MOST_ELEMENTS


def test_the_page_and_its_api_are_mounted_anywhere_together(store: Store, browser: Browser) -> None:
    app = application(parts(store))

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        assert environ["PATH_INFO"].startswith("/pci/")
        below = {"SCRIPT_NAME": "/pci", "PATH_INFO": environ["PATH_INFO"].removeprefix("/pci")}
        return app({**environ, **below}, start_response)

    with served(mounted) as url, reader(browser, f"{url}/pci") as someone:
        for way in ("/ui", "/"):
            someone.page.goto(f"{url}/pci{way}")
            assert someone.page.url.startswith(f"{url}/pci/ui/")
            expect(someone.page.locator(".figures")).to_contain_text("1,003")


def test_a_host_that_is_down_says_so_and_offers_nothing(url: str, browser: Browser) -> None:
    with reader(browser, url) as someone:
        someone.goes_to(f"host/{Speaker(7).host}", Speaker(7).host)
        someone.sees("It wasn’t heard of since")
        expect(someone.page.locator(".facts").first).to_contain_text("Free0")


@pytest.mark.parametrize("name", [MARKUP, SCRIPT, LONG, RTL])
def test_names_that_are_markup_are_text(url: str, browser: Browser, name: str) -> None:
    number = (MARKUP, SCRIPT, LONG, RTL).index(name)
    with reader(browser, url, viewport={"width": 360, "height": 740}) as someone:
        someone.page.expose_function("owned", lambda: someone.complaints.append("a name was run"))
        someone.goes_to("", "Fleet")
        someone.page.get_by_label("Name has").fill(name)
        link = someone.page.get_by_role("table", name="Hosts").last.get_by_role(
            "link", name=AS_SEEN.get(name, name), exact=True
        )
        link.click()
        expect(someone.page.locator("h1")).to_have_text(AS_SEEN.get(name, name))
        for seen in (MARKUP, SCRIPT):
            someone.sees(seen)
        someone.page.locator(".cell").first.click()
        expect(someone.page.locator("h1")).to_have_text(MARKUP)
        for seen in (AS_SEEN.get(name, name), SCRIPT, LONG):
            someone.sees(seen)
        someone.page.locator(".standing a.code").click()
        expect(someone.page.locator("h1")).to_have_text(f"Instance {MARKUP}")
        for view in ("instances", f"devices?hypervisor=storm-00001.example.org&physical_network={MARKUP}"):
            someone.goes_to(view)
        someone.searches(f"{SCRIPT}?")
        expect(someone.page.locator("h1")).to_have_text(f"Search: {SCRIPT}?")
        someone.goes_to(f"device/device-{number}-b", AS_SEEN[RTL])
        someone.sees("<i>odd</i>")
        assert someone.page.locator("main img, main script, main b, main i").count() == 0
        assert someone.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_while_the_api_is_away_what_was_read_stays_and_says_how_old_it_is(operator: Reader) -> None:
    operator.page.clock.install()
    operator.goes_to(f"host/{LAB}", LAB)
    away = [True]

    def lost(route: Route) -> None:
        route.abort("connectionrefused") if away[0] else route.continue_()

    operator.page.context.route(f"{operator.url}/v3/**", lost)
    operator.page.get_by_role("button", name="Refresh").click()
    expect(operator.page.get_by_role("alert")).to_contain_text("The API doesn’t answer. Shown is what was read at 20")
    expect(operator.page.locator(".cell")).to_have_count(12)
    expect(operator.page.locator("#age")).to_contain_text("Tried again in")
    operator.goes_to("devices", "It can’t be shown")
    operator.sees("The API doesn’t answer. It is tried again by itself.")
    away[0] = False
    operator.page.clock.run_for(70_000)
    expect(operator.page.locator("tbody tr")).to_have_count(20)
    expect(operator.page.get_by_role("alert")).to_have_count(0)


def test_nothing_is_read_while_nobody_looks(operator: Reader) -> None:
    operator.page.clock.install()
    asked: list[str] = []
    operator.goes_to(f"host/{LAB}", LAB)
    operator.page.on("request", lambda request: asked.append(request.url))
    hide = "Object.defineProperty(document, 'hidden', {configurable: true, value: %s});"
    event = "document.dispatchEvent(new Event('visibilitychange'))"
    operator.page.evaluate(f"{hide % 'true'} {event}")
    operator.page.clock.run_for(60_000)
    assert asked == []
    operator.page.evaluate(f"{hide % 'false'} {event}")
    operator.page.clock.run_for(1_000)
    expect(operator.page.locator("#age")).to_have_text("Read 0 s ago")
    assert asked
