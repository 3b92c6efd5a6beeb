"""The HTML report in Chromium: drawing, layout and interaction."""

import json
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from pyfw.replay.report import write_report
from tests.replay.results import seed_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.long

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, [seed_run("by-size"), seed_run("ordered")])
    return path.as_uri()


@pytest.fixture
def page(browser: "Browser", report: str) -> "Iterator[Page]":
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        open_report(page, report)
        yield page


def open_report(page: "Page", report: str) -> None:
    page.goto(report)
    page.wait_for_selector(".canvas svg")


def canvas(page: "Page") -> tuple[float, float]:
    """Scrolls the first plot into view; returns its position."""
    plot = page.locator(".canvas").first
    plot.scroll_into_view_if_needed()
    # The page redraws and hides its tooltip in the frames after scrolling.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = plot.bounding_box()
    assert box is not None
    return box["x"], box["y"]


def wait_until(page: "Page", condition: str) -> None:
    # wait_for_function needs eval, which the page's policy forbids.
    look = f"const look = () => {condition} ? done() : requestAnimationFrame(look); look();"
    page.evaluate(f"new Promise(done => {{ {look} }})")


def labels(page: "Page", number: int = 0) -> list[str]:
    texts: list[str] = page.locator(".canvas").nth(number).locator("text").all_text_contents()
    return texts


def tooltip(page: "Page") -> list[str]:
    tip = page.locator("#tip")
    return tip.inner_text().split("\n") if tip.is_visible() else []


@pytest.mark.parametrize("width", [390, 820, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_fits_and_makes_no_requests(
    browser: "Browser", report: str, width: int, theme: Literal["light", "dark"]
) -> None:
    with browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme) as page:
        problems: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        open_report(page, report)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        # One more glyph of each kind is in the legend.
        assert page.locator(".glyph-late").count() == 4 + 1
        assert page.locator(".glyph-early").count() == 5 + 1
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(colour[4:].split(",")[0]) < 50) == (theme == "dark")
        assert problems == []
        assert requests == [report]


def test_hovering_describes_a_segment_under_every_rule(page: "Page") -> None:
    canvas(page)
    page.locator(".canvas .glyph-late").first.hover(force=True)
    assert tooltip(page) == [
        "by-size: arrived late",
        "bytes 2,062–3,093, 1,031 B",
        "sent 3rd, at 14 µs",
        "arrived 7th, at 958 µs, after 944 µs",
        "overtaken by 5",
    ]
    assert page.locator(".halo").count() == 2
    page.mouse.move(2, 2)
    assert tooltip(page) == []


def test_a_focused_batch_shows_its_details(page: "Page") -> None:
    page.locator(".batch:not(.control)").nth(4).focus()
    assert tooltip(page) == [
        "batch 1, 708 µs",
        "192.0.2.1:51820 → 192.0.2.2:51820",
        "2 datagrams of 1312 928 B, segment size 1,312",
        "Not-ECT",
        "flow 0",
    ]


def test_a_dragged_box_zooms_every_rule(page: "Page") -> None:
    x, y = canvas(page)
    before = labels(page)
    page.mouse.move(x + 200, y + 60)
    page.mouse.down()
    page.mouse.move(x + 300, y + 150)
    assert page.locator(".box").count() == 1
    page.mouse.up()
    zoomed = labels(page)
    assert zoomed != before
    assert labels(page, 1) == zoomed
    page.keyboard.press("Escape")
    assert labels(page) == before


def test_the_wheel_zooms_only_a_focused_plot(page: "Page") -> None:
    x, y = canvas(page)
    before, top = labels(page), page.evaluate("scrollY")
    page.mouse.move(x + 200, y + 100)
    page.mouse.wheel(0, -120)
    wait_until(page, f"scrollY <= {top - 120}")
    assert labels(page) == before
    x, y = canvas(page)
    page.mouse.click(x + 200, y + 100)
    text = page.locator(".canvas").first.text_content()
    page.mouse.wheel(0, -120)
    wait_until(page, f"document.querySelector('.canvas').textContent !== {json.dumps(text)}")


def test_two_fingers_zoom(browser: "Browser", report: str) -> None:
    with browser.new_page(viewport={"width": 390, "height": 900}, has_touch=True) as page:
        open_report(page, report)
        x, y = canvas(page)
        before = labels(page)
        # Playwright has no gestures of several fingers.
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *apart: float) -> None:
            points = [
                {"x": x + 180 + sign * distance, "y": y + 120, "id": finger}
                for distance in apart
                for finger, sign in ((1, -1), (2, 1))
            ]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", 20)
        for distance in (30, 45, 60, 80):
            touch("touchMove", distance)
        touch("touchEnd")
        assert labels(page) != before


def test_keys_select_the_points_out_of_order(page: "Page") -> None:
    canvas(page)
    page.locator(".canvas").first.focus()
    seen = []
    for _ in range(10):
        page.keyboard.press("n")
        seen.append(tooltip(page)[0])
    assert seen == ["by-size: arrived early"] * 5 + ["by-size: arrived late"] * 4 + [seen[0]]


def test_axis_and_theme_can_be_changed(page: "Page") -> None:
    assert labels(page)[-1] == "order of sending and arrival"
    page.locator(".toolbar button").first.click()
    assert labels(page)[-1] == "time, µs"
    for expected in ("light", "dark", "system"):
        page.locator("#theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") == expected
