"""The page shows the lab's machine as it is: two nodes, a card on each, four VFs on each card."""

from browsers import reader, served
from playwright.sync_api import Browser, expect

from fleets import Fleet
from labs.guest import Lab

CARDS = {"NUMA node 0": "0000:21:00.0", "NUMA node 1": "0000:41:00.0"}


def test_the_lab_is_a_picture_of_two_nodes_two_cards_and_eight_vfs(lab: Lab, fleet: Fleet, browser: Browser) -> None:
    fleet.start_agent(lab)
    fleet.wait_until("lab", lambda seen: sum(each["dev_type"] == "type-VF" for each in seen.values()) == 8, "8 VFs")
    with served(fleet.client.app) as url, reader(browser, url) as someone:
        someone.goes_to("host/lab", "lab")
        for node, card in CARDS.items():
            drawn = someone.page.get_by_role("region", name=node)
            cells = drawn.get_by_role("list", name=f"VFs of {card}").locator(".cell")
            expect(cells).to_have_count(4)
            for cell in cells.all():
                expect(cell).to_contain_text("IOMMU group")
        someone.sees("8086:10ca")
        someone.keeps("host-of-the-lab")
