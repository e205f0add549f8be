"""The explorers in a real browser, on a page without Jupyter, operated as a person would: mouse, touch and keys."""

import io
import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from browser import SETTLE, eventually
from explorers import one_of_each, page, store
from PIL import Image
from playwright.sync_api import expect
from pypdf import PdfReader

from vaelib.evaluation import encode
from vaelib.posteriors import gaussian_kl

PIXEL = 0.1  # stated in the docstrings
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
PIXELS = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return Array.from({ length: data.length / 4 }, (_, i) => data[4 * i] / 255);
}"""
CONTROLS = "button, input, summary, [tabindex]"
NAMES = (
    ".map((one) => [one.ariaLabel || one.textContent, one.type ?? one.localName, one.getAttribute('aria-valuetext')])"
)
CONTENT = "canvas => canvas.toDataURL()"
pytestmark = pytest.mark.xdist_group("widgets")


@pytest.fixture(scope="module")
def explorers(tmp_path_factory):
    with store(tmp_path_factory.mktemp("runs")):
        yield one_of_each()


@pytest.fixture(scope="module")
def address(explorers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name in ("awake", "asleep"):
        (folder / f"{name}.html").write_text(page(explorers[0], name == "awake"), encoding="utf-8")
    return folder.as_uri()


@pytest.fixture
def visit(visitor, address):
    """Opens the page in a context with these settings."""
    return lambda name="awake.html", **settings: visitor(f"{address}/{name}", **settings)


def card(tab, name):
    """An explorer, awake: it builds itself only when it comes into view."""
    place = tab.locator(f"#{name}")
    place.scroll_into_view_if_needed()
    place.locator(".vae[data-ready]").wait_for()
    tab.evaluate(SETTLE)
    return place


def trait(tab, name, key, value=None):
    """Reads a trait, or sets it as Python would."""
    model = f"document.querySelector('#{name} script + div').model"
    if value is not None:
        tab.evaluate(f"([key, value]) => {model}.set(key, value)", [key, value])
        tab.evaluate(SETTLE)
    return tab.evaluate(f"key => {model}.get(key)", key)


def main_picture(place):
    return place.locator("canvas.vae-picture").first


def swipe(tab, box, across=0, down=0):
    """A finger, put down in the middle of a box and moved by so many pixels, lets the browser decide what it means."""
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session = tab.context.new_cdp_session(tab)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [place]})
    for step in range(1, 21):
        point = {"x": place["x"] + across * step / 20, "y": place["y"] + down * step / 20}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        tab.wait_for_timeout(10)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    places = [None]

    def stands():
        places.append(tab.evaluate("scrollY"))
        tab.wait_for_timeout(100)
        return places[-1] == places[-2]

    eventually(tab, stands, "the page scrolls on and on")
    tab.evaluate(SETTLE)


def agrees(place, run, z):
    """The decoded picture is torch's, up to the stated error and the 256 levels of a screen."""
    place.page.evaluate(SETTLE)  # a picture is drawn in the frame after its z
    expected = run.model.mean_image(torch.tensor([z], dtype=torch.float32))[0].clamp(0, 1).numpy()
    found = np.array(main_picture(place).evaluate(PIXELS))
    assert np.abs(found - expected).max() < PIXEL + 0.5 / 255


def drag(tab, canvas, *stops):
    """With the mouse, from stop to stop; each in shares of the canvas."""
    box = canvas.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stops]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=8)
    tab.mouse.up()
    tab.evaluate(SETTLE)


def test_sleeping_explorers_cost_nothing(visit):
    tab = visit(viewport={"width": 900, "height": 300})
    assert tab.locator("#sampler canvas").count() == 0
    card(tab, "sampler")
    assert tab.locator("#sampler canvas").count() > 10


def test_pad_follows_mouse_keys_sliders_and_python(visit, explorers):
    tab = visit()
    pad = card(tab, "pad")
    plane, limit = pad.locator(".vae-pad"), explorers[0]["pad"].spec["limit"]
    agrees(pad, explorers[1]["pad"], [0, 0])
    drag(tab, plane, (0.5, 0.5), (0.75, 0.25))
    z = trait(tab, "pad", "z")
    assert z == pytest.approx([limit / 2, limit / 2], abs=0.05)
    agrees(pad, explorers[1]["pad"], z)
    plane.focus()
    tab.keyboard.press("Home")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowUp"):
        tab.keyboard.press(key)
    assert trait(tab, "pad", "z") == pytest.approx([0.2, 0.4])
    pad.get_by_label("z₁").focus()
    tab.keyboard.press("ArrowLeft")
    assert trait(tab, "pad", "z")[0] == pytest.approx(0.19)
    trait(tab, "pad", "z", [-1.0, 0.5])
    agrees(pad, explorers[1]["pad"], [-1.0, 0.5])
    assert "z = (−1.00, 0.50)" in pad.inner_text()
    expect(pad.get_by_role("status")).to_contain_text("z = (−1.00, 0.50)")


def test_pad_shows_one_class_alone(visit):
    tab = visit()
    pad = card(tab, "pad")
    plane = pad.locator(".vae-pad")
    before = plane.evaluate(CONTENT)
    chip = pad.get_by_role("button", name="3", exact=True)
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    assert plane.evaluate(CONTENT) != before
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"


def test_pad_follows_a_finger_and_fits_a_phone(visit, explorers):
    tab = visit(**PHONE)
    for name in explorers[0]:
        card(tab, name)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    pad = card(tab, "pad")
    box = pad.locator(".vae-pad").bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    tab.evaluate(SETTLE)
    z = trait(tab, "pad", "z")
    assert z == pytest.approx([-explorers[0]["pad"].spec["limit"] / 2, 0], abs=0.1)
    agrees(pad, explorers[1]["pad"], z)


def stored_images(explorer):
    """The pad's training images, (n, D) in [0, 1]."""
    return np.frombuffer(explorer.thumbnails, np.uint8).reshape(len(explorer.spec["memory"]["names"]), -1) / 255


@pytest.mark.parametrize(("name", "z"), [("pad", [0.7, -0.9]), ("sliders", [1.0, -1.0] * 4)])
def test_the_nearest_training_image_and_its_distance(visit, explorers, name, z):
    tab = visit()
    pad, explorer = card(tab, name), explorers[0][name]
    trait(tab, name, "z", z)
    tab.evaluate(SETTLE)
    decoded, images = np.array(main_picture(pad).evaluate(PIXELS)), stored_images(explorer)
    away = np.sqrt(((images - decoded) ** 2).mean(1))
    nearest = pad.get_by_label("Nearest of the stored training images")
    assert nearest.evaluate(PIXELS) == pytest.approx(images[away.argmin()].tolist(), abs=1 / 255)
    memory = explorer.spec["memory"]
    said = f"{memory['names'][away.argmin()]}: {away.min():.2f} away. A test image: {memory['usual']:.2f}"
    expect(pad.locator(".vae-distance")).to_contain_text(said)
    expect(nearest).to_have_attribute("aria-label", re.compile(f"{away.min():.2f} away"))


def test_pad_shows_images_for_dots(visit):
    tab = visit()
    pad = card(tab, "pad")
    plane, swap = pad.locator(".vae-pad"), pad.get_by_role("button", name="Images for dots")
    dots = plane.evaluate(CONTENT)
    swap.click()
    assert swap.get_attribute("aria-pressed") == "true" and plane.evaluate(CONTENT) != dots
    swap.click()
    assert plane.evaluate(CONTENT) == dots


def test_pad_walks_between_two_free_points(visit, explorers):
    tab = visit(reduced_motion="reduce")
    pad = card(tab, "pad")
    strip = pad.get_by_role("img", name="pictures on the straight line")
    before, plane = strip.evaluate(CONTENT), pad.locator(".vae-pad")
    for end, z in (("A", [-1.0, 1.0]), ("B", [2.0, -1.0])):
        trait(tab, "pad", "z", z)
        drawn = plane.evaluate(CONTENT)
        pad.get_by_role("button", name=f"{end} is here").click()
        assert plane.evaluate(CONTENT) != drawn, "the point is on the plane"
    assert strip.evaluate(CONTENT) != before
    assert "from A (−1.00, 1.00) to B (2.00, −1.00)" in strip.get_attribute("aria-label")
    pad.get_by_label("A to B").fill("0.5")
    agrees(pad, explorers[1]["pad"], [0.5, 0.0])
    pad.get_by_role("button", name="Walk", exact=True).click()
    tab.evaluate(SETTLE)
    assert trait(tab, "pad", "z") == pytest.approx([2.0, -1.0])
    middle = strip.evaluate("one => one.getContext('2d').getImageData(4 * 9, 0, 8, 8).data[0] / 255")
    exact = explorers[1]["pad"].model.mean_image(torch.tensor([[0.5, 0.0]]))[0, 0].item()
    assert abs(middle - exact) < PIXEL + 0.5 / 255


def test_a_state_goes_along_in_the_address_and_a_reset_leads_back(visit, explorers):
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    pad = card(tab, "pad")
    first = trait(tab, "pad", "z")
    trait(tab, "pad", "z", [0.5, -1.25])
    expect(tab).to_have_url(re.compile(r"\?plane=0\.5,-1\.25$"))
    pad.get_by_role("button", name="Copy z").click()
    expect(pad.get_by_role("button", name="Copied")).to_be_visible()
    assert tab.evaluate("navigator.clipboard.readText()") == "[0.5, -1.25]"
    pad.get_by_role("button", name="Copy link").click()
    link = tab.evaluate("navigator.clipboard.readText()")
    again = visit(link.rpartition("/")[2])
    card(again, "pad")
    assert trait(again, "pad", "z") == [0.5, -1.25]
    agrees(again.locator("#pad"), explorers[1]["pad"], [0.5, -1.25])
    pad.get_by_role("button", name="Reset", exact=True).click()
    assert trait(tab, "pad", "z") == first
    expect(tab).not_to_have_url(re.compile("plane="))
    other = visit("awake.html?plane=99,0&dial=7&sliders=1,2&sampler=301&draw=99&machine=9,9~..&recording=3&pair=9,9")
    states = (("pad", "z", first), ("dial", "index", 1), ("sampler", "drawn", 0), ("machine", "epsilon", [1, -1]))
    start = explorers[0]["pair"].z
    for name, key, value in (*states, ("recording", "index", 1), ("pair", "z", start)):
        card(other, name)
        assert trait(other, name, key) == value, "what no control could reach is left alone"


@pytest.mark.parametrize("name", ["draw", "machine"])
def test_a_drawing_goes_along_in_the_address(visit, name):
    """As its strokes, to within a 63rd of the pad, so that it can be drawn on; a stored image as its number."""
    tab = visit()
    pad = card(tab, name)
    seen = "What the encoder sees" if name == "draw" else "x, as the encoder sees it"
    first = pad.get_by_label(seen).evaluate(PIXELS)
    drag(tab, pad.locator(".vae-drawing"), (0.3, 0.1), (0.3, 0.9))
    drag(tab, pad.locator(".vae-drawing"), (0.3, 0.5), (0.8, 0.5))
    expect(tab).to_have_url(re.compile(rf"\?{name}=(1,-1~)?(\.([\w-]{{2}})+){{2}}$"))
    again = card(visit(tab.url.rpartition("/")[2]), name)
    again.page.evaluate(SETTLE)
    drawn, restored = (np.array(one.get_by_label(seen).evaluate(PIXELS)) for one in (pad, again))
    assert np.abs(restored - drawn).max() < 0.25 and drawn.max() > 0.5
    again.get_by_role("button", name="Undo").click()
    again.page.evaluate(SETTLE)
    assert np.abs(np.array(again.get_by_label(seen).evaluate(PIXELS)) - restored).max() > 0.5
    pad.get_by_role("radio").nth(3).click()
    expect(tab).to_have_url(re.compile(rf"\?{name}=(1,-1~)?3$"))
    pad.get_by_role("button", name="Reset", exact=True).click()
    expect(tab).not_to_have_url(re.compile(f"{name}="))
    assert pad.get_by_label(seen).evaluate(PIXELS) == first


def test_samples_go_along_in_the_address_and_become_a_file(visit, explorers):
    tab = visit("awake.html?sampler=51")
    sampler = card(tab, "sampler")
    assert trait(tab, "sampler", "drawn") == 51
    with tab.expect_download() as saved:
        sampler.get_by_role("button", name="Save picture").click()
    assert saved.value.suggested_filename == "sampler-51.png"
    height, width = explorers[0]["sampler"].spec["shape"]
    across, down = 14 * (width + 1) - 1, 3 * (height + 1) - 1  # 14 samples from each of three priors
    zoom = 512 // across
    assert Image.open(saved.value.path()).size == (zoom * across, zoom * down)
    sampler.get_by_role("button", name="Start over").click()
    expect(tab).not_to_have_url(re.compile("sampler="))


def test_a_picture_becomes_a_file(visit):
    tab = visit()
    pad = card(tab, "pad")
    with tab.expect_download() as saved:
        pad.get_by_role("button", name="Save picture").click()
    assert re.fullmatch(r"plane-[\d.,-]+\.png", saved.value.suggested_filename)
    picture = np.asarray(Image.open(saved.value.path()).convert("L"))
    assert picture.shape == (512, 512)
    shown = np.array(main_picture(pad).evaluate(PIXELS)).reshape(8, 8)
    assert picture[32::64, 32::64] / 255 == pytest.approx(shown, abs=1 / 255)


def test_machine_sends_a_drawing_through_encoder_and_decoder(visit, explorers):
    tab = visit()
    machine, run = card(tab, "machine"), explorers[1]["machine"]
    plane, made = machine.locator("canvas.vae-chart"), machine.get_by_label("The decoder's picture of z")
    before = plane.evaluate(CONTENT)
    drag(tab, machine.locator(".vae-drawing"), (0.5, 0.1), (0.5, 0.9))
    tab.evaluate(SETTLE)
    assert plane.evaluate(CONTENT) != before, "the ellipse has moved"
    seen = machine.get_by_label("x, as the encoder sees it").evaluate(PIXELS)
    mean, log_var = encode(run.model, torch.tensor([seen], dtype=torch.float32))
    sigma = torch.exp(0.5 * log_var)
    assert trait(tab, "machine", "mean") == pytest.approx(mean[0].tolist(), abs=0.1)
    assert trait(tab, "machine", "sigma") == pytest.approx(sigma[0].tolist(), abs=0.1)
    machine.get_by_label("ε₁").fill("2")
    machine.get_by_label("ε₂").fill("-1.5")
    tab.evaluate(SETTLE)
    z = trait(tab, "machine", "z")
    assert z == pytest.approx((mean + sigma * torch.tensor([2.0, -1.5]))[0].tolist(), abs=0.3)
    exact = run.model.mean_image(torch.tensor([z]))[0].numpy()
    assert np.abs(np.array(made.evaluate(PIXELS)) - exact).max() < PIXEL + 0.5 / 255
    shown = f"[{z[0]:.2f}, {z[1]:.2f}]".replace("-", "−")
    assert shown in machine.get_by_role("button", name="z = mu + sigma * epsilon").inner_text()
    assert shown in plane.get_attribute("aria-label")


def test_machine_lights_up_what_belongs_together(visit):
    tab = visit()
    machine = card(tab, "machine")
    line = machine.get_by_role("button", name="a = decoder(z)")
    line.focus()
    assert machine.locator(".vae-box.vae-lit").all_inner_texts() == ["decoder"]
    machine.locator(".vae-box", has_text="encoder").hover()
    assert "mu, log_var = encoder(x)" in machine.locator(".vae-step.vae-lit").inner_text()
    machine.get_by_role("button", name="elbo = reconstruction - kl").focus()
    assert machine.locator(".vae-figure.vae-lit").count() == 2, "the image and its picture"
    plane = machine.locator("canvas.vae-chart")
    before = plane.evaluate(CONTENT)
    machine.get_by_role("button", name="sigma = exp").focus()
    tab.evaluate(SETTLE)
    assert plane.evaluate(CONTENT) != before, "the ellipses are bold"


def test_sliders_move_one_latent_each_and_walk(visit, explorers):
    tab = visit(reduced_motion="reduce")
    sliders, spec = card(tab, "sliders"), explorers[0]["sliders"].spec
    first = spec["order"][0]
    ranges = sliders.locator("input[type=range]")
    ranges.first.focus()
    tab.keyboard.press("End")
    z = trait(tab, "sliders", "z")
    assert z[first] == spec["limit"]
    agrees(sliders, explorers[1]["sliders"], z)
    sliders.get_by_role("button", name="Reset to 0").click()
    assert set(trait(tab, "sliders", "z")) == {0}
    sliders.get_by_role("button", name="Random sample").click()
    assert len(set(trait(tab, "sliders", "z"))) == 8
    ends = sliders.get_by_role("radiogroup")
    ends.nth(0).get_by_role("radio").nth(3).click()
    ends.nth(1).get_by_role("radio").nth(7).click()
    walk = sliders.get_by_label("share of the way")
    walk.fill("0.5")
    middle = (np.array(spec["codes"][3]) + spec["codes"][7]) / 2
    assert trait(tab, "sliders", "z") == pytest.approx(middle.tolist())
    agrees(sliders, explorers[1]["sliders"], middle.tolist())
    sliders.get_by_role("button", name="Walk").last.click()
    tab.evaluate(SETTLE)
    assert trait(tab, "sliders", "z") == pytest.approx(spec["codes"][7])
    assert all(label for label in ranges.evaluate_all("all => all.map(one => one.getAttribute('aria-label'))"))


def test_drawing_is_encoded_and_rebuilt(visit, explorers):
    tab = visit()
    draw, run = card(tab, "draw"), explorers[1]["draw"]
    surface, seen = draw.locator(".vae-drawing"), draw.get_by_label("What the encoder sees")
    before = seen.evaluate(CONTENT)
    drag(tab, surface, (0.5, 0.1), (0.5, 0.9))
    assert seen.evaluate(CONTENT) != before
    pixels = np.array(seen.evaluate(PIXELS)).reshape(8, 8)
    assert pixels[:, [0, 7]].max() == 0 and pixels[:, 3:5].max() > 0.4, "a vertical stroke, centred"
    x = torch.tensor(pixels.reshape(1, -1), dtype=torch.float32)
    mean, log_var = encode(run.model, x)
    assert trait(tab, "draw", "mean") == pytest.approx(mean[0].tolist(), abs=0.1)
    assert trait(tab, "draw", "sigma") == pytest.approx(torch.exp(0.5 * log_var)[0].tolist(), abs=0.1)
    kl = gaussian_kl(mean, log_var).sum().item()
    assert trait(tab, "draw", "kl") == pytest.approx(kl, abs=0.5)
    assert f"{trait(tab, 'draw', 'kl'):.1f} nats" in draw.inner_text()
    made = np.array(draw.locator("[aria-label^=Reconstruction]").evaluate(PIXELS))
    assert np.abs(made - run.model.reconstruct(x)[0].numpy()).max() < PIXEL + 0.5 / 255
    draw.get_by_role("button", name="Clear").click()
    tab.evaluate(SETTLE)
    assert max(seen.evaluate(PIXELS)) == 0


def test_an_image_set_from_python_takes_the_place_of_the_drawing(visit):
    tab = visit()
    draw = card(tab, "draw")
    surface = draw.locator(".vae-drawing")
    empty = surface.evaluate(CONTENT)
    drag(tab, surface, (0.5, 0.1), (0.5, 0.9))
    assert surface.evaluate(CONTENT) != empty
    model = "document.querySelector('#draw script + div').model"
    tab.evaluate(f"{model}.set('image', new DataView(new Uint8Array(64).fill(255).buffer))")
    tab.evaluate(SETTLE)
    assert surface.evaluate(CONTENT) == empty
    assert min(draw.get_by_label("What the encoder sees").evaluate(PIXELS)) == 1


def test_drawing_by_keys_and_from_stored_images(visit, explorers):
    tab = visit()
    draw = card(tab, "draw")
    seen = draw.get_by_label("What the encoder sees")
    draw.get_by_role("radio", name="class 4").click()
    tab.evaluate(SETTLE)
    stored = np.frombuffer(explorers[0]["draw"].images, np.uint8).reshape(10, 64)[4] / 255
    assert seen.evaluate(PIXELS) == pytest.approx(stored.tolist())
    draw.locator(".vae-drawing").focus()
    for key in ("Space", *["ArrowRight"] * 5, "Space", "ArrowDown"):
        tab.keyboard.press(key)
    tab.evaluate(SETTLE)
    pixels = np.array(seen.evaluate(PIXELS)).reshape(8, 8)
    assert pixels[[0, 1, 6, 7]].max() == 0 and pixels[3:5].max() > 0.4, "a horizontal stroke, centred"
    tab.keyboard.press("Escape")
    tab.evaluate(SETTLE)
    assert max(seen.evaluate(PIXELS)) == 0


@pytest.mark.parametrize("name", ["draw", "machine"])
def test_a_picture_of_ones_own_is_taken(visit, tmp_path, name):
    """A dark bar on white paper, twice as wide as high, becomes a light bar; what is no picture changes nothing."""
    paper = np.full((160, 320), 255, np.uint8)
    paper[:, 150:170] = 0
    Image.fromarray(paper).save(tmp_path / "bar.png")
    (tmp_path / "no.png").write_bytes(b"no picture")
    tab = visit()
    place = card(tab, name)
    seen = place.get_by_label("What the encoder sees" if name == "draw" else "x, as the encoder sees it")
    before = seen.evaluate(CONTENT)
    with tab.expect_file_chooser() as asked:
        place.get_by_role("button", name="one of your own").click()
    asked.value.set_files(tmp_path / "no.png")
    expect(place.get_by_role("status")).to_contain_text("no image")
    assert seen.evaluate(CONTENT) == before
    place.locator("input[type=file]").set_input_files(tmp_path / "bar.png")
    expect(place.get_by_role("radio", checked=True)).to_have_count(0)
    tab.evaluate(SETTLE)
    pixels = np.array(seen.evaluate(PIXELS)).reshape(8, 8)
    assert pixels[:, [0, 1, 6, 7]].max() < 0.1 and pixels[:, 3:5].min() > 0.3
    tab.wait_for_timeout(500)
    assert f"{name}=." not in tab.url, "it has no text for an address"


def test_drawing_by_finger(visit):
    tab = visit(**PHONE)
    draw = card(tab, "draw")
    surface = draw.locator(".vae-drawing")
    assert surface.evaluate("one => getComputedStyle(one).touchAction") == "none", "a finger draws and does not scroll"
    before = draw.get_by_label("What the encoder sees").evaluate(CONTENT)
    surface.tap()
    tab.evaluate(SETTLE)
    assert draw.get_by_label("What the encoder sees").evaluate(CONTENT) != before


def test_dial_changes_everything(visit, explorers):
    tab = visit()
    dial, runs = card(tab, "dial"), explorers[0]["dial"].spec["runs"]
    canvases = dial.locator("canvas")
    before = canvases.evaluate_all("all => all.map(one => one.toDataURL())")
    dial.get_by_label("σ", exact=True).focus()
    tab.keyboard.press("End")
    tab.evaluate(SETTLE)
    assert trait(tab, "dial", "index") == 2
    after = canvases.evaluate_all("all => all.map(one => one.toDataURL())")
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert f"{runs[2]['directions']} of 5" in dial.inner_text()
    trait(tab, "dial", "index", 0)
    assert dial.get_by_label("σ", exact=True).input_value() == "0"


def test_no_bar_of_the_sampler_is_full(visit, explorers):
    """The scale is that of what has been drawn: a share that is high by luck has a bar that says so."""
    tab = visit()
    sampler, spec = card(tab, "sampler"), explorers[0]["sampler"].spec
    for drawn in (1, 14, 300):
        trait(tab, "sampler", "drawn", drawn)
        shares = [sum(prior["hits"][:drawn]) / drawn for prior in spec["priors"]]
        widths = [
            float(fill.evaluate("one => parseFloat(one.style.width)"))
            for fill in sampler.locator(".vae-bar span").all()
        ]
        mark = sampler.locator(".vae-bar i").first.evaluate("one => parseFloat(one.style.left)")
        largest = max(*shares, spec["share"]) or 1
        assert [*widths, mark] == pytest.approx([100 / 1.2 * one / largest for one in (*shares, spec["share"])])


def test_sampler_draws_and_counts(visit, explorers):
    tab = visit()
    sampler, spec = card(tab, "sampler"), explorers[0]["sampler"].spec
    sampler.get_by_role("button", name="Draw 50").click()
    sampler.get_by_role("button", name="Draw one").click()
    tab.evaluate(SETTLE)
    assert trait(tab, "sampler", "drawn") == 51
    for prior in spec["priors"]:
        group = sampler.get_by_role("group", name=prior["name"])
        assert f"{sum(prior['hits'][:51])} of 51" in group.inner_text()
    z = np.frombuffer(explorers[0]["sampler"].pool, "<f4").reshape(3, 300, 5)[0, 50]
    agrees(sampler, explorers[1]["sampler"], z.tolist())
    sampler.get_by_role("button", name="Run").click()
    tab.wait_for_function("document.querySelector('#sampler script + div').model.get('drawn') > 52")
    sampler.get_by_role("button", name="Pause").click()
    sampler.get_by_role("button", name="Start over").click()
    assert trait(tab, "sampler", "drawn") == 0


def test_a_training_is_scrubbed_and_played(visit, explorers):
    tab = visit()
    recording, moments = card(tab, "recording"), explorers[0]["recording"].spec["moments"]
    canvases, position = recording.locator("canvas"), recording.get_by_role("slider", name="steps")
    before = canvases.evaluate_all("all => all.map(one => one.toDataURL())")
    position.press("Home")
    tab.evaluate(SETTLE)
    after = canvases.evaluate_all("all => all.map(one => one.toDataURL())")
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert f"{moments[0]['elbo']:.1f} nats".replace("-", "−") in recording.inner_text()
    assert "after 0 steps" in canvases.first.get_attribute("aria-label")
    expect(recording.get_by_role("status")).to_contain_text("after 0 steps ELBO")
    expect(tab).to_have_url(re.compile(r"\?recording=0$"))
    recording.get_by_role("button", name="Play").click()
    tab.wait_for_function("document.querySelector('#recording script + div').model.get('index') === 2")
    expect(recording.get_by_role("button", name="Play")).to_be_visible()
    expect(recording.get_by_role("status")).to_contain_text("after 200 steps")
    recording.get_by_role("button", name="Play").click()
    position.press("ArrowRight")
    index = trait(tab, "recording", "index")
    tab.wait_for_timeout(500)
    assert trait(tab, "recording", "index") == index, "the hand comes before the clock"
    shown = np.array(canvases.first.evaluate(PIXELS)).reshape(26 + 3, -1)[9:17, :8]
    stored = np.frombuffer(explorers[0]["recording"].pictures, np.uint8).reshape(3, 16, 8, 8)[index, 0] / 255
    assert shown == pytest.approx(stored, abs=1 / 255)


def test_one_z_moves_two_models(visit, explorers):
    tab = visit()
    place, pair = card(tab, "pair"), explorers[0]["pair"]
    drag(tab, place.locator(".vae-pad"), (0.5, 0.5), (0.7, 0.4))
    z = trait(tab, "pair", "z")
    assert z == pytest.approx([0.4 * pair.spec["limit"], 0.2 * pair.spec["limit"]], abs=0.05)
    for name, run in pair.runs.items():
        side = place.get_by_role("group", name=name)
        agrees(side, run, z)
        there, origin = run.model.mean_image(torch.tensor([z, [0.0, 0.0]]))
        change = float(side.locator(".vae-terms span").last.inner_text())
        assert change == pytest.approx((there - origin).square().mean().sqrt().item(), abs=0.02)
        expect(place.get_by_role("status")).to_contain_text(f"{name}: {change:.2f} from the picture at the origin")
    place.get_by_role("button", name="asleep").click()
    expect(place.get_by_role("button", name="asleep")).to_have_attribute("aria-pressed", "true")
    place.get_by_label("z₁").fill("0.5")
    assert trait(tab, "pair", "z")[0] == 0.5
    with tab.expect_download() as saved:
        place.get_by_role("button", name="Save picture").click()
    assert Image.open(saved.value.path()).size == (30 * 17, 30 * 8)


def heights(tab):
    return tab.locator(".vae-place").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")


@pytest.mark.parametrize("width", [1400, 768, 620, 390, 360])
def test_height_is_kept_free_before_a_script_runs(visit, explorers, width):
    """Nothing moves when an explorer starts, and little of the height that was kept for it stays empty."""
    size = {"viewport": {"width": width, "height": 800}}
    before = heights(visit("asleep.html", **size))
    tab = visit(**size)
    cards = [card(tab, name) for name in explorers[0]]
    assert heights(tab) == pytest.approx(before, abs=1)
    empty = """card => {
        const body = card.querySelector(".vae[data-ready] > .vae-body");
        const kept = body.getBoundingClientRect().height;
        body.style.minHeight = 0;
        return kept - body.getBoundingClientRect().height;
    }"""
    assert max(one.evaluate(empty) for one in cards) < 80


def test_every_anchor_lands(visit, explorers):
    """By a deep link and by a click: the explorers above start on the way and move nothing. See also test_anchors."""
    tab = visit(viewport={"width": 390, "height": 800})
    for name in explorers[0]:
        tab.evaluate("scrollTo(0, 0)")
        tab.get_by_role("link", name=f"to {name}").click()
        lands(tab, name)
    for name in explorers[0]:
        lands(visit(f"awake.html#at-{name}", viewport={"width": 390, "height": 800}), name)


def lands(tab, name):
    expect(tab.locator(f"#{name} .vae[data-ready]")).to_have_count(1)
    there = """name => {
        const { top } = document.getElementById(`at-${name}`).getBoundingClientRect();
        const end = scrollY + innerHeight > document.documentElement.scrollHeight - 2;
        return Math.abs(top) < 5 || (end && top > 0);
    }"""
    eventually(tab, lambda: tab.evaluate(there, name), f"{name} is not where it was asked for")
    tab.wait_for_timeout(200)
    assert tab.evaluate(there, name), f"{name} does not stay"


def test_without_javascript_each_card_shows_its_picture(visit, explorers):
    tab = visit(java_script_enabled=False)
    for name, explorer in explorers[0].items():
        place = tab.locator(f"#{name}")
        place.scroll_into_view_if_needed()
        picture = place.get_by_role("img", name=explorer.spec["still"])
        expect(picture).to_be_visible()
        expect(place.get_by_text(explorer.spec["still"])).to_be_visible()
        expect(place.get_by_text(explorer.spec["help"])).to_be_hidden()
        box, around = picture.bounding_box(), place.bounding_box()
        assert box["width"] > 300 and around["height"] - box["height"] < 200, "no gap where no script will fill it"


@pytest.mark.parametrize("seen", [(), ("pad", "sampler")], ids=["none seen", "some seen"])
def test_paper_shows_each_picture_and_no_controls(visit, explorers, seen):
    tab = visit()
    for name in seen:
        card(tab, name)
    tab.emulate_media(media="print")
    for name, explorer in explorers[0].items():
        expect(tab.locator(f"#{name} img")).to_be_visible()
        expect(tab.get_by_text(explorer.spec["still"])).to_be_visible()
    assert tab.locator(".vae-place :is(input, button, canvas):visible").count() == 0
    sheets = PdfReader(io.BytesIO(tab.pdf())).pages
    assert sum(len(sheet.images) for sheet in sheets) >= len(explorers[0])


def test_a_press_stops_an_animation(visit):
    tab = visit()
    pad = card(tab, "pad")
    trait(tab, "pad", "z", [3.0, 3.0])
    pad.get_by_role("button", name="Origin").click()
    plane = pad.locator(".vae-pad")
    drag(tab, plane, (0.25, 0.25), (0.3, 0.3))
    z = trait(tab, "pad", "z")
    assert z[0] < -1 and z[1] > 1, "the press counts"
    tab.wait_for_timeout(700)
    assert trait(tab, "pad", "z") == z, "and stays"


def test_a_key_stops_a_walk(visit):
    tab = visit()
    sliders = card(tab, "sliders")
    sliders.get_by_role("button", name="Walk", exact=True).click()
    walk = sliders.get_by_label("share of the way")
    walk.focus()
    tab.keyboard.press("Home")
    tab.wait_for_timeout(400)
    assert walk.input_value() == "0"


def test_drawing_by_hand_stops_the_clock_and_says_when_there_is_no_more(visit):
    tab = visit()
    sampler = card(tab, "sampler")
    sampler.get_by_role("button", name="Run").click()
    sampler.get_by_role("button", name="Draw one").click()
    expect(sampler.get_by_role("button", name="Run")).to_be_visible()
    trait(tab, "sampler", "drawn", 299)
    sampler.get_by_role("button", name="Draw one").click()
    sampler.get_by_role("button", name="Draw one").click()
    assert trait(tab, "sampler", "drawn") == 300
    expect(sampler.locator(".vae-news")).to_contain_text("All 300 stored draws from each prior have been shown.")
    expect(sampler.get_by_role("status")).to_contain_text("All 300 stored draws")
    sampler.get_by_role("button", name="Start over").click()
    expect(sampler.locator(".vae-news")).to_contain_text("of the training images show the tongue")


def test_a_finger_scrolls_over_the_plane_and_drags_its_point(visit, explorers):
    tab = visit(**PHONE)
    pad, limit = card(tab, "pad"), explorers[0]["pad"].spec["limit"]
    plane, handle = pad.locator(".vae-pad"), pad.locator(".vae-handle")
    plane.scroll_into_view_if_needed()
    trait(tab, "pad", "z", [0.0, 0.6 * limit])
    before = tab.evaluate("scrollY")
    swipe(tab, plane.bounding_box(), down=-150)
    assert tab.evaluate("scrollY") > before + 50, "the plane does not trap the page"
    assert trait(tab, "pad", "z") == [0, 0.6 * limit], "nor does scrolling move the point"
    plane.scroll_into_view_if_needed()
    before = tab.evaluate("scrollY")
    box = plane.bounding_box()
    swipe(tab, handle.bounding_box(), across=60, down=60)
    moved = 2 * limit * 60 / box["width"]
    wanted = pytest.approx([moved, 0.6 * limit - moved], abs=0.3)
    eventually(tab, lambda: trait(tab, "pad", "z") == wanted, "the handle drags")
    assert tab.evaluate("scrollY") == before
    swipe(tab, plane.bounding_box(), across=80)
    wanted = pytest.approx([2 * limit * 80 / box["width"], 0], abs=0.3)
    eventually(tab, lambda: trait(tab, "pad", "z") == wanted, "sideways it drags")


def test_a_finger_scrolls_over_sliders(visit):
    tab = visit(**PHONE)
    sliders = card(tab, "sliders")
    slider = sliders.locator(".vae-latents input").nth(3)
    slider.scroll_into_view_if_needed()
    value, z, before = slider.input_value(), trait(tab, "sliders", "z"), tab.evaluate("scrollY")
    box = slider.bounding_box()
    swipe(tab, {**box, "width": 0.4 * box["width"]}, down=-150)
    assert tab.evaluate("scrollY") > before + 50
    assert (slider.input_value(), trait(tab, "sliders", "z")) == (value, z)
    tab.evaluate("before => scrollTo({ top: before, behavior: 'instant' })", before)  # the picture, which stays, hid it
    swipe(tab, slider.bounding_box(), across=40)
    eventually(tab, lambda: trait(tab, "sliders", "z") != z, "sideways it moves")


def test_on_a_phone_what_belongs_together_stands_together(visit, explorers):
    tab = visit(**PHONE)
    columns = card(tab, "sampler").locator(".vae-prior")
    assert len({round(column.bounding_box()["y"]) for column in columns.all()}) == 1, "three priors, side by side"
    draw = card(tab, "draw")
    surface, bound = draw.locator(".vae-drawing").bounding_box(), draw.get_by_text("ELBO", exact=True).bounding_box()
    assert bound["y"] - surface["y"] - surface["height"] < 150
    assert surface["width"] < 270, "a margin to scroll by"
    for name in ("draw", "machine"):
        pad = card(tab, name)
        boxes = [pad.locator(".vae-drawing"), pad.get_by_text("ELBO", exact=True).first, pad.get_by_role("radiogroup")]
        places = [box.bounding_box() for box in boxes]
        height = max(place["y"] + place["height"] for place in places) - min(place["y"] for place in places)
        assert height < 560, f"{name}: pad, stored images and the bound fit one screen"


def test_a_screen_reader_learns_what_changes(visit):
    tab = visit(reduced_motion="reduce")
    pad = card(tab, "pad")
    picture = main_picture(pad)
    before = picture.get_attribute("aria-label")
    trait(tab, "pad", "z", [2.0, -2.0])
    after = picture.get_attribute("aria-label")
    assert "nearest code: class" in before and before != after
    assert "z = (2.00, −2.00)" in pad.locator(".vae-pad").get_attribute("aria-label")
    expect(pad.get_by_role("status")).to_contain_text(after.removeprefix("Decoded picture: "))
    dial = card(tab, "dial")
    charts = [chart.get_attribute("aria-label") for chart in dial.locator("canvas").all()]
    trait(tab, "dial", "index", 2)
    assert all(chart.get_attribute("aria-label") not in charts for chart in dial.locator("canvas").all())
    assert "above σ² = 1.0" in dial.locator("canvas").first.get_attribute("aria-label")
    draw = card(tab, "draw")
    assert "±" in draw.locator("canvas.vae-chart").get_attribute("aria-label")
    sliders = card(tab, "sliders")
    sliders.get_by_role("button", name="Random sample").click()
    expect(sliders.get_by_role("status")).to_contain_text("most like image")
    sampler = card(tab, "sampler")
    newest = sampler.get_by_label("Newest sample").first
    expect(newest).to_have_attribute("aria-label", re.compile("none yet"))
    sampler.get_by_role("button", name="Draw 50").click()
    expect(newest).to_have_attribute("aria-label", re.compile("number 50, (a|no) hit"))
    expect(sampler.get_by_role("status")).to_contain_text("of 50 (")
    machine = card(tab, "machine")
    made = machine.get_by_label("The decoder's picture of z")
    machine.get_by_role("radio").nth(1).click()
    expect(made).to_have_attribute("aria-label", re.compile("most like image"))
    expect(machine.get_by_role("status")).to_contain_text("ELBO")


@pytest.mark.parametrize("name", ["pad", "machine", "sliders", "draw", "dial", "sampler", "recording", "pair"])
def test_the_keyboard_reaches_every_control_and_each_says_what_it_is(visit, name):
    """From the first to the last in the order of the page; of a row of pictures one; a slider says its value, too."""
    tab = visit()
    place = card(tab, name)
    wanted = place.locator(CONTROLS).evaluate_all(
        "all => all.filter((one) => one.tabIndex >= 0 && one.checkVisibility())" + NAMES
    )
    assert len(wanted) > 2 and all(label for label, *_ in wanted)
    assert all(value for _, kind, value in wanted if kind == "range")
    place.locator(CONTROLS).first.focus()
    reached = []
    for _ in wanted:
        reached += tab.evaluate("[document.activeElement]" + NAMES)
        tab.keyboard.press("Tab")
    assert reached == wanted


def test_there_is_a_way_round_the_sliders(visit):
    """A button that only the keyboard shows leads behind them, and a row of pictures is one stop for the Tab key."""
    tab = visit()
    sliders = card(tab, "sliders")
    sliders.get_by_role("button", name="Reset to 0").focus()
    tab.keyboard.press("Tab")
    skip = sliders.get_by_role("button", name="sliders")
    expect(skip).to_be_focused()
    assert skip.bounding_box()["height"] > 20
    tab.keyboard.press("Enter")
    expect(sliders.get_by_role("radiogroup").first.get_by_role("radio", checked=True)).to_be_focused()
    assert skip.bounding_box()["height"] < 5
    tab.keyboard.press("ArrowRight")
    expect(sliders.get_by_role("radiogroup").first.get_by_role("radio").nth(1)).to_be_focused()
    codes = trait(tab, "sliders", "spec")["codes"]
    assert trait(tab, "sliders", "z") == codes[1]
    for _ in range(2):
        tab.keyboard.press("Tab")
    expect(sliders.get_by_role("button", name="Walk", exact=True)).to_be_focused()


def test_dark_mode_redraws(visit):
    tab = visit()
    pad = card(tab, "pad")
    before = pad.locator(".vae-pad").evaluate(CONTENT)
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    tab.evaluate(SETTLE)
    ground = pad.locator(".vae[data-ready]").evaluate("one => getComputedStyle(one).backgroundColor")
    assert max(int(part) for part in ground[4:-1].split(",")) < 50
    assert pad.locator(".vae-pad").evaluate(CONTENT) != before


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(visit, explorers, theme):
    tab = visit()
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    for name in explorers[0]:
        card(tab, name)
    tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    broken = tab.evaluate("axe.run('.vae', {resultTypes: ['violations']})")["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in broken] == []


def test_frame_times(visit, explorers):
    """Prints the milliseconds of script in a frame; asserts nothing but that they were measured."""
    tab = visit()
    times = {}
    for name in explorers[0]:
        place = card(tab, name)
        control = place.locator("input[type=range], button").last
        samples = []
        for _ in range(10):
            control.press("Home" if control.get_attribute("type") == "range" else "Enter")
            tab.evaluate(SETTLE)
            samples.append(float(place.locator(".vae[data-ready]").get_attribute("data-frame")))
        times[name] = np.median(samples)
    print({name: f"{value:.1f} ms" for name, value in times.items()})
    assert all(value >= 0 for value in times.values())
