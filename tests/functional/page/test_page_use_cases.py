"""What somebody sees on the page, in a real browser: the use cases of "Pci-api-support", and what follows from them."""

import re

import pytest
from browsers import reader
from looked_at import BARE, BESIDE, DATABASE, FIRST_VF, LAB, WEB, Looked
from playwright.sync_api import Browser, expect

Shown = tuple[Looked, str]


def test_which_devices_instances_use(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    used = looked.device(LAB, FIRST_VF)["uuid"]
    with reader(browser, url) as someone:
        someone.goes_to("")
        someone.page.get_by_role("link", name="Instances").click()
        expect(someone.row(WEB)).to_contain_text(used)
        someone.row(WEB).get_by_role("link", name=WEB).click()
        expect(someone.page.locator("h1")).to_contain_text(WEB)
        someone.sees("It holds 2 devices on lab.")
        expect(someone.row(used)).to_contain_text("allocated")


def test_the_pci_stats_of_hypervisors(shown: Shown, browser: Browser) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        someone.goes_to("", "Fleet")
        expect(someone.page.locator(".figures")).to_have_text(
            re.compile(r"Hosts up3Hosts down0Devices free14Held3Blocked3In all20")
        )
        kind = someone.page.get_by_role("table", name="Devices by physical network and kind").locator("tbody tr")
        expect(kind.filter(has_text="8086:10ca").filter(has_text="physnet1")).to_contain_text("physnet1")
        numbers = kind.filter(has_text="8086:10ca").filter(has_text="physnet1").locator(".number")
        assert numbers.all_inner_texts() == ["1", "2", "2", "0", "4"]
        someone.keeps("overview")
        someone.page.get_by_role("link", name=LAB, exact=True).click()
        expect(someone.page.locator("h1")).to_have_text(LAB)
        stats = someone.page.get_by_role("table", name="Pools of this host")
        expect(stats.locator("tbody tr", has_text="0000:21:00.0")).to_contain_text("8086:10ca type-VF")
        assert stats.locator("tbody tr", has_text="0000:21:00.0").locator(".number").all_inner_texts() == [
            "0",
            "2",
            "2",
            "0",
            "4",
        ]


def test_the_devices_on_the_nodes(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    known = looked.device(LAB, FIRST_VF)
    with reader(browser, url) as someone:
        someone.goes_to("devices", "Devices")
        row = someone.row(known["uuid"])
        for shown_text in ("pci_0000_21_10_0", "8086:10ca", LAB, str(known["compute_node_id"])):
            expect(row).to_contain_text(shown_text)
        expect(someone.page.locator("tbody tr")).to_have_count(20)
        someone.page.get_by_label("Status").select_option("claimed")
        someone.page.get_by_role("button", name="Filter").click()
        expect(someone.page.locator("tbody tr")).to_have_count(1)
        assert "status=claimed" in someone.page.url
        someone.page.go_back()
        expect(someone.page.locator("tbody tr")).to_have_count(20)


def test_every_filter_that_rest_knows_counts_and_another_is_refused(shown: Shown, browser: Browser) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        rows = someone.page.locator("tbody tr")
        someone.goes_to(f"devices?instance_uuid={WEB}", "Devices")
        expect(rows).to_have_count(2)
        someone.sees("2 devices")
        someone.keeps("devices-of-an-instance")
        expect(someone.page.get_by_role("textbox", name="Instance")).to_have_value(WEB)
        someone.goes_to("devices?tag:rack=7&request_id=nobodys", "Devices")
        someone.sees("Only those with request_id=nobodys (drop request_id).")
        expect(rows).to_have_count(0)
        someone.page.get_by_role("link", name="drop request_id").click()
        expect(rows).to_have_count(2)
        expect(someone.page.get_by_label("Tag")).to_have_value("rack=7")
        someone.page.get_by_role("textbox", name="Address").fill("61:00.1")
        someone.page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(1)
        assert "tag%3Arack=7" in someone.page.url
        someone.goes_to("devices?colour=red", "Devices")
        expect(someone.page.get_by_role("alert")).to_contain_text("Query parameter 'colour'")


def test_a_filter_that_cannot_be_used_stays_to_be_mended(shown: Shown, browser: Browser) -> None:
    _, url = shown
    asked: list[str] = []
    with reader(browser, url) as someone:
        someone.page.clock.install()
        someone.goes_to("devices", "Devices")
        someone.page.get_by_label("Vendor").fill("Intel")
        someone.page.get_by_role("button", name="Filter").click()
        alert = someone.page.locator("main").get_by_role("alert")
        expect(alert).to_contain_text("Vendor: this is no PCI id")
        expect(alert).not_to_contain_text("Known here")
        expect(someone.page.get_by_label("Vendor")).to_have_value("Intel")
        expect(someone.page.get_by_label("Vendor")).to_have_attribute("aria-invalid", "true")
        someone.keeps("refused-filter")
        someone.page.on("request", lambda request: asked.append(request.url))
        someone.page.clock.run_for(120_000)
        assert asked == []
        someone.page.get_by_label("Vendor").fill("8086")
        someone.page.get_by_role("button", name="Filter").click()
        expect(someone.page.locator("tbody tr")).to_have_count(18)


def test_a_device_in_full_found_by_its_name(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    known = looked.device(LAB, FIRST_VF)
    with reader(browser, url) as someone:
        someone.goes_to("")
        someone.searches("pci_0000_21_10_0")
        expect(someone.page.locator("h1")).to_have_text("pci_0000_21_10_0")
        facts = someone.page.locator(".facts").first
        for text in (known["uuid"], "8086:10ca", "type-VF", "allocated", WEB, "web-1", "0000:21:00.0"):
            expect(facts).to_contain_text(text)
        someone.sees("igbvf")
        someone.sees("Offered, by entry 1.")
        expect(someone.page.locator(".history li").first).to_contain_text("status: claimed → allocated")
        expect(someone.page.locator(".history li").last).to_contain_text("appeared")


def test_a_host_is_a_picture_of_nodes_cards_and_their_functions(shown: Shown, browser: Browser) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        someone.goes_to(f"host/{LAB}", LAB)
        for node, card in enumerate(("0000:21:00.0", "0000:41:00.0")):
            drawn = someone.page.get_by_role("region", name=f"NUMA node {node}").get_by_role(
                "article", name=f"Card {card}"
            )
            expect(drawn.get_by_role("list", name=f"VFs of {card}").get_by_role("listitem")).to_have_count(4)
        cell = someone.cell("0000:41:10.0")
        expect(cell).to_have_text("0000:41:10.010.0 VF 0 claimed held by d5c1e0a4, IOMMU group 16g16")
        free = someone.cell("0000:21:11.0")
        expect(free).to_have_text("0000:21:11.011.0 VF 2 available, IOMMU group 13g13")
        assert cell.locator("svg").inner_html() != free.locator("svg").inner_html(), "a status has a shape of its own"
        cut = "(all) => all.filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.innerText)"
        assert someone.page.locator(".cell-more > :not(.unseen)").evaluate_all(cut) == []
        someone.sees("unavailable: the host uses it: the default route goes through enp1s0")
        expect(someone.row("0000:61:00.0, 0000:61:00.1")).to_contain_text("30")
        expect(someone.row(WEB)).to_contain_text("0000:21:10.0, 0000:21:10.4")
        someone.cell(FIRST_VF).hover()
        expect(someone.page.locator("[data-kin=holder]")).to_have_text(re.compile("0000:21:10.4"))
        someone.keeps("host-of-two-nodes")


@pytest.mark.parametrize(
    ("word", "heading"),
    [
        ("0000:21:10.0", "pci_0000_21_10_0"),
        ("21:10.0", "pci_0000_21_10_0"),
        (DATABASE, f"Instance {DATABASE}"),
        (DATABASE[:8], f"Instance {DATABASE}"),
        ("04:00.0", BESIDE),
        ("compute-2", BARE),
        ("COMPUTE", "Search: COMPUTE"),
        ("8086:1520", "Search: 8086:1520"),
        ("nowhere", "Search: nowhere"),
    ],
)
def test_a_search_leads_to_what_it_can_only_mean(shown: Shown, browser: Browser, word: str, heading: str) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        someone.goes_to("instances", "Instances")
        someone.searches(word)
        expect(someone.page.locator("h1")).to_have_text(heading)
        if word == "COMPUTE":
            assert someone.page.locator("tbody a").all_inner_texts() == [BESIDE, BARE]
        elif word == "8086:1520":
            expect(someone.page.locator("tbody tr")).to_have_count(8)
        elif word == "nowhere":
            someone.sees("Nothing is called that. Write an address (0000:04:10.0 or 04:10.0) of a device, or of a PF")


def test_a_search_for_a_uuid_leads_to_its_device(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    with reader(browser, url) as someone:
        someone.goes_to("")
        someone.searches(looked.device(BESIDE, "0000:04:10.3")["uuid"])
        expect(someone.page.locator("h1")).to_have_text("pci_0000_04_10_3")


def test_a_search_for_an_id_that_the_page_shows_finds_what_has_it(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    known = looked.device(LAB, FIRST_VF)
    with reader(browser, url) as someone:
        someone.goes_to("")
        someone.searches(str(known["id"]))
        someone.sees("pci_0000_21_10_0")
        someone.searches(str(known["compute_node_id"]))
        expect(someone.page.locator("main").get_by_text(LAB, exact=True).first).to_be_visible()


def test_a_pf_that_no_entry_matches_is_explained_from_its_card(shown: Shown, browser: Browser) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        someone.goes_to(f"host/{BESIDE}", BESIDE)
        someone.keeps("host-with-an-unlisted-pf")
        card = someone.page.get_by_role("article", name="Card 0000:04:00.0")
        expect(card).to_contain_text("the PF itself is not offered: why?")
        card.get_by_role("link", name="why?").click()
        expect(someone.page.locator("h1")).to_have_text("Function 0000:04:00.0")
        someone.sees("on compute-1")
        someone.sees("Not offered.")
        someone.sees("to offer it, add an entry such as")
        someone.keeps("unlisted-function")


def test_what_is_empty_says_the_cure(shown: Shown, browser: Browser) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        someone.goes_to(f"host/{BARE}", BARE)
        someone.sees("This host offers no device. Its whitelist, [pci] device_spec, names none that is there.")
        someone.goes_to("devices?hypervisor=nowhere", "Devices")
        someone.sees("No device is like that.")


@pytest.mark.parametrize(
    "view", ["nonsense", "constructor", "__proto__", "device/..", "device/%2e%2e", "device/", "host/", "instance/"]
)
def test_what_is_no_view_shows_that_nothing_is_here(shown: Shown, browser: Browser, view: str) -> None:
    _, url = shown
    with reader(browser, url) as someone:
        someone.goes_to(view, "Nothing is here")
        expect(someone.page).to_have_title("Nothing is here · pci-agent")


def test_why_a_disabled_device_is_not_given_says_so_and_the_cure(shown: Shown, browser: Browser) -> None:
    looked, url = shown
    with reader(browser, url) as someone:
        someone.goes_to(f"device/{looked.device(LAB, '0000:61:00.0')['uuid']}", "pci_0000_61_00_0")
        why = someone.page.get_by_role("region", name="Why it is offered, or not")
        expect(why).to_contain_text("It is unavailable: disabled by REST: its fan is broken.")
        expect(why).to_contain_text("to have it given again, enable it")
        expect(why).not_to_contain_text("It is available")
        someone.keeps("disabled-device")
