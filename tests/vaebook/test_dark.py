"""Figures in the dark: ink and paper change places, colours keep their hue, photographs stay as they are."""

import numpy as np
import pytest
from PIL import Image

from vaebook.build.dark import PAPER, darkened, pictures_in, with_twins

INK, BLUE = (43, 43, 43), (51, 34, 136)


@pytest.fixture
def figure():
    """Paper with an axis, a letter, a bar, a grey picture with a coloured line across, and one in colour."""
    pixels = np.empty((200, 300, 3), int)
    pixels[:] = PAPER
    pixels[150, 20:280] = INK
    pixels[160:172, 30:32] = INK
    pixels[80:150, 200:230] = BLUE
    rng = np.random.default_rng(0)
    pixels[20:70, 20:70] = rng.integers(0, 240, (50, 50, 1))
    pixels[40:42, 10:90] = (204, 102, 119)
    pixels[20:70, 120:170] = rng.integers(0, 240, (50, 50, 3))
    return pixels


def twin(pixels):
    return np.asarray(darkened(Image.fromarray(pixels.astype(np.uint8))).convert("RGB")).astype(int)


def test_pictures_are_found(figure):
    found = pictures_in(figure)
    assert found[22:38, 22:68].all() and found[44:68, 22:68].all() and found[20:70, 120:170].all()
    found[20:70, 20:70] = found[20:70, 120:170] = False
    assert not found.any(), "neither a letter nor a bar is a picture"


def test_ink_and_paper_change_places_and_pictures_stay(figure):
    dark = twin(figure)
    assert dark[5, 5].max() < 50, "paper"
    assert dark[150, 100].min() > 180, "an axis"
    assert dark[165, 30].min() > 180, "a letter"
    red, green, blue = dark[100, 210]
    assert blue > red > green and blue > 180, "a blue bar is light blue"
    assert np.abs(dark - figure)[20:39, 20:70].mean() < 12, "a picture, up to 256 colours"


def test_text_is_legible_in_the_dark(figure):
    """Every colour of the style has a contrast of 3 or more to the dark card, ink of 7 or more (WCAG 1.4.11, 1.4.6)."""
    colours = ["2B2B2B", "6B6B6B", "332288", "CC6677", "44AA99", "999933", "882255", "88CCEE", "117733", "AA4499"]
    colours += ["DDCC77"]
    for colour in colours:
        figure[100:140, 20:100] = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
        dark = twin(figure)
        ratio = contrast(dark[120, 50], dark[5, 5])
        assert ratio > {"2B2B2B": 7, "88CCEE": 4.5, "DDCC77": 4.5}.get(colour, 3), (colour, ratio)


def contrast(a, b):
    """WCAG's contrast ratio of two colours."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = np.asarray(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_pages_name_the_twins_of_figures_on_paper(figure, tmp_path):
    Image.fromarray(figure.astype(np.uint8)).save(tmp_path / "plot.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    html = '<img alt="a" src="../_images/plot.png" /><img src="../_images/photo.png"><img src="_images/none.png">'
    named = with_twins(html, tmp_path)
    assert 'src="../_images/plot.png" data-dark="../_images/plot.dark.png" />' in named
    assert named.count("data-dark") == 1
    assert Image.open(tmp_path / "plot.dark.png").size == (300, 200)


def test_a_grey_picture_has_no_hole_where_it_is_as_light_as_paper():
    pixels = np.full((200, 300, 3), PAPER)
    pixels[40:180, 50:250] = np.linspace(0, 255, 200).astype(int)[:, None]
    assert pictures_in(pixels)[40:180, 50:250].all()


def test_a_film_of_dots_is_turned_and_the_pictures_beside_them_stay(tmp_path):
    rng = np.random.default_rng(0)
    photo, frames = rng.integers(0, 240, (50, 50, 1)), []
    for place in range(10, 50, 5):
        frame = np.full((60, 130, 3), 255, np.uint8)
        frame[place : place + 8, place : place + 8] = rng.integers(0, 90, (8, 8, 1))
        frame[5:55, 70:120] = photo
        frames.append(Image.fromarray(frame))
    light = tmp_path / "film.gif"
    frames[0].save(light, save_all=True, append_images=frames[1:], duration=80, loop=0)
    assert 'data-dark="../_images/film.dark.gif"' in with_twins('<img src="../_images/film.gif">', tmp_path)
    twin = Image.open(tmp_path / "film.dark.gif")
    assert twin.n_frames == len(frames) and twin.info["duration"] == 80 and twin.info["loop"] == 0
    shown = np.asarray(twin.convert("RGB")).astype(int)
    assert shown[2, 2].max() < 50 and shown[12:16, 12:16].mean() > 150
    assert np.abs(shown[7:53, 72:118] - photo[2:48, 2:48]).mean() < 12


def test_a_map_of_colours_stays_and_a_tinted_band_does_not():
    """Whatever touches it from outside, such as ticks: its caption says what is dark. Lines lie over the band."""
    colours = np.linspace((68, 1, 84), (253, 231, 37), 200).astype(int)
    pixels = np.full((200, 300, 3), PAPER)
    pixels[40:180, 50:250] = colours
    pixels[100:102, 40:50] = INK
    assert pictures_in(pixels)[42:178, 52:248].all()
    pixels[40:180, 50:250] = (228, 225, 214)
    pixels[60:180:30, 50:250] = colours
    assert not pictures_in(pixels).any()


def test_the_bar_of_a_map_stays_as_the_map_does():
    """Ticks touch it. In a bar of one colour nothing is to be read off."""
    pixels = np.full((120, 300, 3), PAPER)
    pixels[40:54, 50:250] = np.linspace((0, 34, 78), (254, 232, 56), 200).astype(int)
    pixels[54:58, 60:250:40] = INK
    pixels[80:94, 50:250] = BLUE
    found = pictures_in(pixels)
    assert found[42:52, 52:248].all()
    found[40:54] = False
    assert not found.any()


def test_white_in_a_picture_stays_and_a_box_of_text_is_no_picture(figure):
    """A grey may be near the colour of the paper, and a colour be the same; boxes of a diagram are white or tinted."""
    figure[50:54, 30:34] = (249, 249, 249)
    figure[50:54, 130:134] = PAPER
    figure[20:70, 240:290] = (232, 240, 233)
    figure[25:65, 245:285] = 255
    figure[40:52:3, 255:275] = INK
    found = pictures_in(figure)
    assert found[44:68, 22:68].all() and found[20:70, 120:170].all()
    assert not found[20:70, 240:290].any()
