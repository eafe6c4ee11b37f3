"""What somebody changes by the page, by mouse or by keyboard alone, and what they see of what others change."""

import re

from browsers import Reader
from looked_at import DATABASE, FIRST_VF, LAB, Looked
from playwright.sync_api import expect

NEW = "0d3a9c51-7a0e-4a7b-9d5e-2b6a64c1f0de"


def test_a_device_is_disabled_and_enabled_by_somebody_who_says_why(operator: Reader, looked: Looked) -> None:
    free = looked.device(LAB, "0000:21:11.0")
    operator.goes_to(f"device/{free['uuid']}", "pci_0000_21_11_0")
    operator.page.get_by_text("Disable", exact=True).click()
    operator.page.get_by_label("Reason").fill("its port flaps")
    operator.page.get_by_label("Until").select_option("3600")
    operator.page.get_by_role("button", name="Disable this device").click()
    expect(operator.page.locator("#told")).to_contain_text("pci_0000_21_11_0 is disabled.")
    expect(operator.page.locator(".standing")).to_contain_text("unavailable on lab: disabled by REST: its port flaps")
    operator.page.get_by_role("button", name="Enable", exact=True).click()
    operator.page.get_by_role("dialog").get_by_role("button", name="Enable").click()
    expect(operator.page.locator("#told")).to_contain_text("is enabled")
    expect(operator.page.locator(".standing")).to_contain_text("available")
    assert looked.device(LAB, "0000:21:11.0")["status"] == "available"


def test_claims_are_confirmed_and_freed_only_by_somebody_who_agrees(operator: Reader, looked: Looked) -> None:
    operator.goes_to(f"instance/{DATABASE}", DATABASE)
    expect(operator.row("database-1").first).to_contain_text("claimed")
    operator.page.get_by_role("button", name="Free its devices").click()
    operator.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    operator.page.get_by_role("button", name="Confirm its claims").click()
    operator.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(operator.page.locator("#told")).to_contain_text("Its claims are confirmed.")
    expect(operator.row("database-1").first).to_contain_text("allocated")
    assert looked.device(LAB, "0000:41:10.0")["status"] == "allocated"
    operator.page.get_by_role("button", name="Free its devices").click()
    operator.page.keyboard.press("Escape")
    expect(operator.page.get_by_role("dialog")).to_have_count(0)
    operator.page.get_by_role("button", name="Free its devices").click()
    operator.page.get_by_role("dialog").get_by_role("button", name="Free").click()
    expect(operator.page.locator("#told")).to_contain_text("Its devices are freed.")
    assert looked.device(LAB, "0000:41:10.0")["status"] == "available"


def test_a_claim_that_ended_by_itself_is_over(operator: Reader, looked: Looked) -> None:
    host = looked.fleet.hosts[LAB]
    host.boottime += 3600
    host.agent.expire()
    looked.fleet.report()
    operator.goes_to(f"instance/{DATABASE}", DATABASE)
    operator.sees("It holds no device.")
    expect(operator.row("database-1")).to_contain_text("over")
    expect(operator.row("database-1")).not_to_contain_text("claimed")
    expect(operator.page.locator("main").get_by_role("button")).to_have_count(0)


def test_what_a_host_does_not_answer_is_said(operator: Reader, looked: Looked) -> None:
    looked.fleet.agents.lost |= {(LAB, "free"), (LAB, "explain")}
    operator.goes_to(f"instance/{DATABASE}", DATABASE)
    operator.page.get_by_role("button", name="Free its devices").click()
    operator.page.get_by_role("dialog").get_by_role("button", name="Free").click()
    expect(operator.page.locator("#told")).to_contain_text("there is no need to ask again")
    operator.goes_to(f"device/{looked.device(LAB, FIRST_VF)['uuid']}")
    operator.sees("lab doesn't answer")


def test_the_page_keeps_itself_up_to_date_and_its_reader_in_place(operator: Reader, looked: Looked) -> None:
    operator.page.clock.install()
    operator.goes_to(f"host/{LAB}", LAB)
    operator.page.get_by_text("What the shapes mean").click()
    cell = operator.cell("0000:21:11.0")
    cell.focus()
    operator.page.evaluate("scrollTo(0, 120)")
    looked.claim(NEW, LAB, "new-1", 1, tags={"physical_network": "physnet1"})
    operator.page.clock.run_for(11_000)
    expect(cell).to_contain_text("claimed")
    expect(cell).to_be_focused()
    expect(operator.page.locator("details.legend-of")).to_have_attribute("open", "")
    assert operator.page.evaluate("scrollY") == 120
    expect(operator.page.locator("#age")).to_have_text(re.compile(r"Read \d+ s ago"))


def test_everything_is_reached_and_done_by_keyboard(operator: Reader, looked: Looked) -> None:
    page = operator.page
    operator.goes_to("", "Fleet")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()

    def tab_to(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            at = page.evaluate("document.activeElement.textContent || document.activeElement.name")
            if page.evaluate("document.activeElement === document.body"):
                continue  # once around
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", f"{at} has the focus and doesn't show it"
            if at.startswith(name):
                return
        raise AssertionError(f"no way by keyboard to {name}")

    tab_to(LAB)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(LAB)
    expect(page.locator("h1")).to_be_focused()
    tab_to("0000:21:11.0")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("pci_0000_21_11_0")
    tab_to("Disable")
    page.keyboard.press("Space")
    tab_to("reason")
    page.keyboard.type("its port flaps")
    tab_to("Disable this device")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_contain_text("is disabled")
    expect(page.locator("summary", has_text="Disable")).to_be_focused()
    tab_to("Enable")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_contain_text("is enabled")
    expect(page.locator("h1")).to_be_focused()
    assert looked.device(LAB, "0000:21:11.0")["status"] == "available"
