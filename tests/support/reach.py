"""What keeps somebody out of a page: by axe-core, by what is cut, and by Tab."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# What a person can act on; one of several radio buttons of a name stands for all.
CONTROLS = """(() => {
  const open = document.querySelector("dialog[open]");
  const names = new Set();
  const all = "a[href], button, input, select, textarea, [tabindex='0']";
  return [...document.querySelectorAll(all)].filter((one) =>
    one.checkVisibility() && one.type !== "hidden" && !one.matches(":disabled") &&
    (!open || open.contains(one)) &&
    (one.type !== "radio" || (!names.has(one.name) && names.add(one.name))));
})()"""
# What lies in a box that scrolls and takes the focus for it is not cut.
CUT = """(() => {
  const wide = document.documentElement.clientWidth;
  const out = document.documentElement.scrollWidth > wide ? ["the page"] : [];
  for (const one of document.querySelectorAll("header *, main *")) {
    if (!one.checkVisibility() || one.tagName === "OPTION") continue;
    if (one.closest(".scroll, .stages, dialog:not([open])")) continue;
    const { left, right, width } = one.getBoundingClientRect();
    const hides = /hidden|clip/.test(getComputedStyle(one).overflowX);
    const cut = hides && !one.matches("input, select") && one.scrollWidth > one.clientWidth + 1;
    if (width && (left < -1 || right > wide + 1 || cut)) out.push(one.outerHTML);
  }
  return out;
})()"""  # noqa: E501
LISTEN = """() => {
  window.wanted = new Set(CONTROLS);
  window.unseen = [];
  document.addEventListener("focusin", ({ target }) => {
    window.wanted.delete(target);
    const { left, right, top, bottom } = target.getBoundingClientRect();
    const seen = right > 0 && left < innerWidth && bottom > 0 && top < innerHeight;
    if (!seen) window.unseen.push(target);
  });
  return window.wanted.size;
}""".replace("CONTROLS", CONTROLS)
SAID = "[...window.wanted, ...window.unseen].map((one) => one.outerHTML)"


def find_serious(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def find_cut(page: Page) -> list[str]:
    """What reaches out of the page to a side, or is cut by the box around it."""
    return list(page.evaluate(CUT))


def find_unreachable(page: Page) -> list[str]:
    """Controls that Tab does not reach, or does not bring into view."""
    for _ in range(page.evaluate(LISTEN) + 3):
        page.keyboard.press("Tab")
    return list(page.evaluate(SAID))
