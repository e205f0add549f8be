"""The playground in a real browser, on a page of its own opened as a file: it learns, collapses and wakes by keys."""

import re
import time
from importlib.resources import files

import pytest
from browser import watched
from explorers import page
from playwright.sync_api import expect

from vaebook.explorers.base import SCRIPTS
from vaebook.explorers.playground import Playground, playground

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CONTENT = "all => all.map(one => one.toDataURL())"
STILL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000280000001e0")  # a PNG of 640x480, as far as its size
NO_WORKERS = {
    "forbidden": "window.Worker = class { constructor() { throw new Error('none here'); } };",
    "failing": """window.Worker = class {
        constructor() { setTimeout(() => this.onerror(new Event("error"))); }
        postMessage() {}
        terminate() {}
    };""",
}
ASLEEP = "window.IntersectionObserver = class { observe() {} unobserve() {} disconnect() {} };"  # nothing comes near
pytestmark = pytest.mark.xdist_group("playground")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "playground.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Playground, "still", lambda self: STILL)
        content = page({"playground": playground()})
    own = (SCRIPTS / "playground.css").read_text(encoding="utf-8")
    path.write_text(content.replace("</style>", f"{own}</style>", 1), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def visit(browser, address):
    """Opens the page in a context with these settings and awakes the card; afterwards nothing may have gone wrong."""
    opened = []

    def open_page(script="", **settings):
        tab, faults = watched(context := browser.new_context(**settings))
        opened.append((context, faults))
        tab.add_init_script(script)
        tab.goto(address)
        tab.locator(".vae[data-ready] .pg-readout").scroll_into_view_if_needed()
        reached(tab, lambda step: step == 0)
        return tab

    yield open_page
    for context, faults in opened:
        context.close()
        assert [fault for fault in faults if "data:image/png" not in fault] == []


def numbers(tab):
    """What the readout says: ELBO, reconstruction, KL, directions in use, those predicted, and the step."""
    values = [text.replace("−", "-").split()[0] for text in tab.locator(".pg-readout b").all_inner_texts()]
    step = re.match(r"step ([\d,]+)", tab.locator(".pg-readout p").inner_text())
    return [*map(float, values), int(step[1].replace(",", ""))] if step and "–" not in values else None


def reached(tab, wanted, seconds=60):
    """The readout, once its step is as wanted."""
    for _ in range(5 * seconds):
        found = numbers(tab)
        if found and wanted(found[-1]):
            return found
        tab.wait_for_timeout(200)
    raise AssertionError(f"the readout stays at {found}")


def press(tab, name, key="Enter"):
    tab.get_by_role("button", name=name, exact=True).press(key)


def test_collapses_and_wakes_by_one_slider_and_the_keyboard(visit):
    tab = visit()
    assert len(tab.workers) == 1
    sigma = tab.get_by_label("σ, standard deviation")
    pictures = tab.locator("canvas").evaluate_all(CONTENT)
    press(tab, "Run")
    elbo, reconstruction, kl, used, predicted, step = reached(tab, lambda step: step > 250)
    assert (used, predicted) == (4, 4) and kl > 2 and elbo == pytest.approx(reconstruction - kl, abs=0.11)
    after = tab.locator("canvas").evaluate_all(CONTENT)
    assert [before == now for before, now in zip(pictures, after, strict=True)] == [False, True] + 5 * [False]
    sigma.press("End")
    elbo, reconstruction, kl, used, predicted, step = reached(tab, lambda now: now > step + 400)
    assert (used, predicted, kl) == (0, 0, 0) and elbo == reconstruction
    spectrum = tab.locator('canvas[aria-label^="Spectrum"]')  # what a screen reader is told comes now and then
    expect(spectrum).to_have_attribute("aria-label", re.compile("are above 4;"), timeout=30_000)
    assert "βσ²" not in tab.inner_text("main")
    sigma.press("Home")
    _, _, kl, used, predicted, _ = reached(tab, lambda now: now > step + 600)
    assert (used, predicted) == (4, 4) and kl > 4
    press(tab, "Pause")
    expect(tab.locator(".pg-readout p")).to_contain_text("paused", timeout=20_000)


def test_takes_a_hundred_steps_a_second(visit, browser):
    """Of the processor's time: on a busy machine the clock counts what others do. The page draws meanwhile."""
    session = browser.new_browser_cdp_session()

    def seconds():
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return sum(process["cpuTime"] for process in processes if process["type"] == "renderer")

    tab = visit()
    press(tab, "Run")
    first = reached(tab, lambda step: step > 100)[-1]
    spent, began = seconds(), time.perf_counter()
    last = reached(tab, lambda step: step > first + 300)[-1]
    own, wall = ((last - first) / lasted for lasted in (seconds() - spent, time.perf_counter() - began))
    print(f"steps a second: {wall:.0f}, a second of the processor: {own:.0f}")
    assert own > 100


def test_waits_for_the_reader_and_rests_out_of_sight(visit):
    tab = visit()
    tab.wait_for_timeout(500)
    assert numbers(tab)[-1] == 0
    press(tab, "Run")
    reached(tab, lambda step: step > 20)
    tab.evaluate("document.querySelector('main').style.paddingTop = '9000px'; scrollTo(0, 0)")
    tab.wait_for_timeout(1000)
    rests = numbers(tab)[-1]
    tab.wait_for_timeout(500)
    assert numbers(tab)[-1] == rests
    tab.locator(".pg-readout").scroll_into_view_if_needed()
    reached(tab, lambda step: step > rests + 20)


def test_steps_resets_and_repeats_itself(visit):
    tab = visit()
    canvases = tab.locator("canvas")
    start = canvases.evaluate_all(CONTENT)
    for step in (1, 2):
        press(tab, "One step")
        reached(tab, lambda now, step=step: now == step)
    two = canvases.evaluate_all(CONTENT)
    press(tab, "Reset")
    reached(tab, lambda step: step == 0)
    tab.wait_for_timeout(200)
    assert canvases.evaluate_all(CONTENT) == start
    press(tab, "One step")
    reached(tab, lambda step: step == 1)
    press(tab, "One step")
    reached(tab, lambda step: step == 2)
    tab.wait_for_timeout(200)
    assert canvases.evaluate_all(CONTENT) == two
    seed = tab.get_by_label("seed")
    seed.fill("7")
    seed.press("Enter")
    reached(tab, lambda step: step == 0)
    tab.wait_for_timeout(200)
    assert canvases.first.evaluate("one => one.toDataURL()") != start[0]
    seed.fill("-1")
    seed.press("Enter")
    assert seed.input_value() == "7"
    tab.get_by_label("latents; another").press("Home")
    tab.wait_for_function("document.querySelector('.pg-readout').innerText.includes('of 1')")


def test_settings_follow_python_and_python_follows_them(visit):
    tab = visit()
    model = "document.querySelector('[data-kind=playground]:not(.vae-still)').parentElement.model"
    tab.evaluate(f"{model}.set('sigma', 0.7)")
    tab.wait_for_timeout(300)
    assert tab.get_by_label("σ, standard deviation").get_attribute("aria-valuetext") == "0.70"
    assert numbers(tab)[4] == 3
    tab.get_by_label("β, weight").press("End")
    assert tab.evaluate(f"{model}.get('beta')") == 10
    tab.wait_for_timeout(300)
    assert numbers(tab)[4] == 0


def test_says_what_it_shows_and_no_more(visit):
    tab = visit()
    status = tab.locator(".vae:not(.vae-still)").get_by_role("status")
    assert status.inner_text() == ""
    tab.evaluate("""() => {
        window.said = [];
        const status = document.querySelector(".vae-status");
        new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
    }""")
    press(tab, "Run")
    reached(tab, lambda step: step > 100)
    press(tab, "Pause")
    tab.wait_for_timeout(1500)
    assert re.match(
        r"Step \d+\. ELBO -?[\d.]+ nats: .* 4 of 4 directions in use; linear theory predicts 4\.", status.inner_text()
    )
    assert len(tab.evaluate("said")) <= 3
    labels = tab.locator(".vae:not(.vae-still) canvas").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    assert len(labels) == 7 and all(re.search(r": .*\d", label) for label in labels), labels


@pytest.mark.parametrize("script", NO_WORKERS.values(), ids=NO_WORKERS)
def test_learns_without_a_worker(visit, script):
    tab = visit(script)
    press(tab, "Run")
    assert reached(tab, lambda step: step > 60)[3] == 4


@pytest.mark.parametrize("look", [PHONE, {"viewport": {"width": 1400, "height": 900}}], ids=["phone", "desktop"])
def test_keeps_its_height_and_its_width(visit, browser, address, look):
    with browser.new_context(**look) as context:
        early = context.new_page()
        early.add_init_script(ASLEEP)
        early.goto(address)
        kept = early.locator(".vae-still .vae-body").bounding_box()["height"]
    tab = visit(**look)
    body = tab.locator("[data-ready] .vae-body")
    assert body.bounding_box()["height"] == pytest.approx(kept, abs=4)
    press(tab, "Run")
    reached(tab, lambda step: step > 100)
    assert body.bounding_box()["height"] == pytest.approx(kept, abs=4)
    assert tab.evaluate("document.documentElement.scrollWidth") <= look["viewport"]["width"]


def test_on_a_phone_sigma_stays_at_hand(visit):
    tab = visit(**PHONE)
    tab.locator('canvas[aria-label^="Samples"]').scroll_into_view_if_needed()
    assert 0 <= tab.get_by_label("σ, standard deviation").bounding_box()["y"] < 120


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(visit, theme):
    tab = visit()
    before = tab.locator("canvas").evaluate_all(CONTENT)
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    tab.wait_for_timeout(300)
    assert (tab.locator("canvas").evaluate_all(CONTENT) == before) == (theme == "light")
    tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    broken = tab.evaluate("axe.run('[data-ready]', {resultTypes: ['violations']})")["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in broken] == []
