"""The playground in a real browser, on a page of its own opened as a file: it learns, collapses and wakes by keys."""

import re
import time
from importlib.resources import files
from typing import NamedTuple

import pytest
from browser import SETTLE, eventually, watched
from explorers import page
from playwright.sync_api import expect

from vaebook.explorers.base import SCRIPTS
from vaebook.explorers.playground import Playground, playground

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CONTENT = "all => all.map(one => one.toDataURL())"
READOUT = "one => [...one.querySelectorAll('b, p')].map((part) => part.innerText)"
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
        reached(tab, lambda now: now.step == 0)
        return tab

    yield open_page
    for context, faults in opened:
        context.close()
        assert [fault for fault in faults if "data:image/png" not in fault] == []


class Reading(NamedTuple):
    """What the readout says at one moment: three figures in nats, directions in use and predicted, and the step."""

    elbo: float
    reconstruction: float
    kl: float
    used: float
    predicted: float
    step: int


def read(tab):
    """All of the readout at once: between two looks the training goes on. None while it is empty."""
    texts = tab.locator(".pg-readout").evaluate(READOUT)
    *values, said = [text.replace("−", "-") for text in texts]
    step = re.match(r"step ([\d,]+)", said)
    known = step and "–" not in values
    return Reading(*(float(value.split()[0]) for value in values), int(step[1].replace(",", ""))) if known else None


def reached(tab, wanted):
    """The first reading that is as wanted, however long the machine takes for it."""
    return eventually(tab, lambda: (found := read(tab)) and wanted(found) and found, lambda: f"it says {read(tab)}")


def rests(tab):
    """The step at which the training stays for half a second, asked until it does."""

    def stays():
        before = read(tab).step
        tab.wait_for_timeout(500)
        return before if read(tab).step == before else None

    return eventually(tab, lambda: (step := stays()) is not None and (step,), "the training goes on")[0]


def press(tab, name, key="Enter"):
    tab.get_by_role("button", name=name, exact=True).press(key)


def test_collapses_and_wakes_by_one_slider_and_the_keyboard(visit):
    """Each state is waited for, not a step: how far a reading is behind the slider depends on the machine."""
    tab = visit()
    assert len(tab.workers) == 1
    sigma = tab.get_by_label("σ, standard deviation")
    pictures = tab.locator("canvas").evaluate_all(CONTENT)
    press(tab, "Run")
    now = reached(tab, lambda now: now.used == 4 and now.kl > 2)
    assert now.predicted == 4 and now.elbo == pytest.approx(now.reconstruction - now.kl, abs=0.11)
    after = tab.locator("canvas").evaluate_all(CONTENT)
    assert [before == now for before, now in zip(pictures, after, strict=True)] == [False, True] + 5 * [False]
    sigma.press("End")
    now = reached(tab, lambda now: now.predicted == now.used == now.kl == 0)
    assert now.elbo == now.reconstruction
    spectrum = tab.locator('canvas[aria-label^="Spectrum"]')  # what a screen reader is told comes now and then
    expect(spectrum).to_have_attribute("aria-label", re.compile("are above 4;"), timeout=30_000)
    assert "βσ²" not in tab.inner_text("main")
    sigma.press("Home")
    reached(tab, lambda now: now.predicted == now.used == 4 and now.kl > 4)
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
    first = reached(tab, lambda now: now.step > 100).step
    spent, began = seconds(), time.perf_counter()
    last = reached(tab, lambda now: now.step > first + 300).step
    own, wall = ((last - first) / lasted for lasted in (seconds() - spent, time.perf_counter() - began))
    print(f"steps a second: {wall:.0f}, a second of the processor: {own:.0f}")
    assert own > 100


def test_waits_for_the_reader_and_rests_out_of_sight(visit):
    tab = visit()
    assert rests(tab) == 0
    press(tab, "Run")
    reached(tab, lambda now: now.step > 20)
    tab.evaluate("document.querySelector('main').style.paddingTop = '9000px'; scrollTo(0, 0)")
    step = rests(tab)
    assert step > 20
    tab.locator(".pg-readout").scroll_into_view_if_needed()
    reached(tab, lambda now: now.step > step + 20)


def test_steps_resets_and_repeats_itself(visit):
    """The readout and all pictures change in one go, so that what they show belongs to the step that it says."""
    tab = visit()
    canvases = tab.locator("canvas")

    def steps(*numbers):
        for number in numbers:
            press(tab, "One step")
            reached(tab, lambda now, number=number: now.step == number)
        return canvases.evaluate_all(CONTENT)

    start = canvases.evaluate_all(CONTENT)
    two = steps(1, 2)
    assert two != start
    press(tab, "Reset")
    reached(tab, lambda now: now.step == 0)
    assert canvases.evaluate_all(CONTENT) == start
    assert steps(1, 2) == two
    seed = tab.get_by_label("seed")
    seed.fill("7")
    seed.press("Enter")
    reached(tab, lambda now: now.step == 0)
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
    reached(tab, lambda now: now.predicted == 3)
    assert tab.get_by_label("σ, standard deviation").get_attribute("aria-valuetext") == "0.70"
    tab.get_by_label("β, weight").press("End")
    assert tab.evaluate(f"{model}.get('beta')") == 10
    reached(tab, lambda now: now.predicted == 0)


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
    reached(tab, lambda now: now.step > 100 and now.used == 4)
    press(tab, "Pause")
    said = eventually(tab, lambda: (text := status.inner_text()).startswith(f"Step {read(tab).step}.") and text)
    assert re.search(r" ELBO -?[\d.]+ nats: .* 4 of 4 directions in use; linear theory predicts 4\.", said)
    assert len(tab.evaluate("said")) <= 3
    labels = tab.locator(".vae:not(.vae-still) canvas").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    assert len(labels) == 7 and all(re.search(r": .*\d", label) for label in labels), labels


@pytest.mark.parametrize("script", NO_WORKERS.values(), ids=NO_WORKERS)
def test_learns_without_a_worker(visit, script):
    tab = visit(script)
    press(tab, "Run")
    reached(tab, lambda now: now.step > 60 and now.used == 4)


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
    reached(tab, lambda now: now.step > 100)
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
    tab.evaluate(SETTLE)
    assert (tab.locator("canvas").evaluate_all(CONTENT) == before) == (theme == "light")
    tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    broken = tab.evaluate("axe.run('[data-ready]', {resultTypes: ['violations']})")["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in broken] == []
