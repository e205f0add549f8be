"""What a chapter calls: its parameters are checked, and a banner says how a page differs from the published one."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from markdown_it import MarkdownIt

from vaebook import page
from vaelib.config import ConfigError
from vaelib.data import DataConfig

PARAMETERS = """dataset: str = "mnist"  # which images
epochs: int = 3  # passes over the data
hidden: tuple[int, ...] = (8, 4)  # units per layer"""


def session(injected="", **values):
    """A namespace as IPython leaves it after the parameters cell and the one that papermill injects, if it does."""
    history = ["", PARAMETERS, *([f"# Parameters\n{injected}\n"] if injected else []), "from vaebook import page"]
    namespace = {"In": history}
    for source in history[1:-1]:
        exec(source, namespace)
    return {**namespace, **values}


def test_parameters_are_returned_and_may_be_changed():
    settings = page.parameters(session("epochs = 5\nhidden = [16]"), at_least={"epochs": 1, "hidden": 1})
    assert settings == SimpleNamespace(dataset="mnist", epochs=5, hidden=(16,))


def test_parameters_need_no_notebook():
    namespace = {}
    exec(PARAMETERS, namespace)
    assert page.parameters(namespace).epochs == 3
    types = namespace.pop("__annotations__")
    assert page.parameters({**namespace, "__annotate__": lambda _: types}).epochs == 3  # as Python 3.14 keeps them


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ("epoch = 5", r"unknown parameter 'epoch': did you mean 'epochs'\? valid: dataset, epochs, hidden"),
        ('epochs = "abc"', "parameter epochs='abc' cannot be used: expected a valid integer"),
        ("epochs = True", "parameter epochs=True cannot be used: expected a valid integer"),
        ("epochs = 2.5", r"parameter epochs=2\.5 cannot be used: expected a valid integer"),
        ("epochs = float('nan')", "parameter epochs=nan cannot be used: expected a valid integer"),
        ("epochs = 0", "parameter epochs=0 cannot be used: expected at least 1"),
        ("hidden = [8, 0]", r"parameter hidden=\[8, 0\] cannot be used: expected at least 1"),
        ('hidden = ["8"]', r"parameter hidden=\['8'\] cannot be used: expected a valid integer"),
        ("dataset = None", "parameter dataset=None cannot be used: expected a valid string"),
        ("dataset = {1}.pop", "parameter dataset=.* cannot be used: expected <class 'str'>"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(injected, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        page.parameters(session(injected), at_least={"epochs": 1, "hidden": 1})


def test_cells_may_run_again_in_any_order():
    namespace = session()
    namespace["In"] += ["other: int = 3\ntotal = 7", "1 +", "from vaebook import page"]
    exec("other: int = 3\ntotal = 7", namespace)
    assert page.parameters(namespace) == SimpleNamespace(dataset="mnist", epochs=3, hidden=(8, 4))


def test_only_changed_settings_are_noted():
    history = session('epochs = 5\nhidden = [8, 4]\ndataset = "digits"')["In"]
    notes = page._setting_notes(history)
    assert notes == [
        "> - `dataset` is `'digits'`; the published page has `'mnist'`.",
        "> - `epochs` is `5`; the published page has `3`.",
    ]
    edited = [*session()["In"], PARAMETERS.replace("3", "4")]
    assert page._setting_notes(edited) == ["> - `epochs` is `4`; the published page has `3`."]
    assert page._setting_notes(session()["In"]) == []


def test_stand_ins_and_own_data_are_noted():
    data = [
        SimpleNamespace(name="digits", stand_in_for="mnist"),
        SimpleNamespace(name="frey", stand_in_for=None),
        SimpleNamespace(name="holiday", stand_in_for=None),
    ]
    assert page._data_notes(data) == [
        "> - The data set `digits` stands in for `mnist`.",
        "> - The data set `holiday` is your own.",
    ]


HOSTILE = (
    *("x <img src=y onerror=alert(1)>.npy", "a`b", "`<b>`", "``", "a`` <b>x</b> ```", "[x](javascript:alert(1))"),
    *("two\n\n<script>lines</script>", "*stars* & _lines_ $x$", "back\\slash`", "{{ braces }} | pipe", "faces"),
)


@pytest.mark.parametrize("text", HOSTILE, ids=[f"name-{number}" for number in range(len(HOSTILE))])
def test_names_stay_text_whatever_they_hold(text):
    """As CommonMark reads it: one code span with that text, and no markup or HTML of the name's own."""
    data = SimpleNamespace(name=text, stand_in_for=None)
    (note,) = page._data_notes([data])
    html = MarkdownIt().render(note)
    inner = re.fullmatch(
        r"<blockquote>\n<ul>\n<li>The data set <code>(.*)</code> is your own.</li>\n</ul>\n</blockquote>\n", html
    )
    plain = inner[1].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert plain == " ".join(text.split()) and "<" not in inner[1]


def test_values_of_settings_stay_text():
    (note,) = page._setting_notes(session("dataset = 'a`<b>`'")["In"])
    assert "<code>'a`&lt;b&gt;`'</code>; the published page has <code>'mnist'</code>." in MarkdownIt().render(note)


def test_choices_are_named_at_once():
    with pytest.raises(page.ParameterError, match="unknown dataset 'mnits': did you mean 'mnist'"):
        page.parameters(session('dataset = "mnits"'), choices={"dataset": ("mnist", "digits")})
    assert page.parameters(session(), choices={"dataset": ("mnist",)}).dataset == "mnist"


def test_a_sequence_with_a_least_value_is_not_empty():
    with pytest.raises(page.ParameterError, match=r"hidden=\[\] cannot be used: expected one value or more"):
        page.parameters(session("hidden = []"), at_least={"hidden": 1})
    assert page.parameters(session("hidden = []")).hidden == ()


@pytest.fixture
def folder(tmp_path):
    """Eleven pictures in colour."""
    np.save(tmp_path / "reds.npy", np.random.default_rng(0).integers(0, 256, (11, 6, 5, 3), dtype=np.uint8))
    return tmp_path


def test_a_data_set_that_a_page_cannot_use_is_refused_in_one_line(folder):
    reds = str(folder / "reds.npy")
    for settings, message in (
        ({"name": "mnits"}, "did you mean 'mnist'"),
        ({"name": str(folder / "no.npy")}, "there is no file or folder"),
        ({"name": ""}, "name=''"),
        ({"name": reds, "images": 20}, "has 11 images of 6x5x3: this page needs at least 20"),
        ({"name": reds, "labels": True}, "no labels"),
        ({"name": reds, "grey": True}, "in colour"),
    ):
        with pytest.raises(page.ParameterError, match=message) as caught:
            page.load(**settings)
        assert "\n" not in str(caught.value)


def test_a_data_set_may_be_asked_for_by_its_settings(folder):
    wanted = DataConfig(name=str(folder / "reds.npy"), colour="grey", size="4x4")
    assert page.load(wanted, images=11, grey=True).shape == (4, 4)
    assert page.load("digits", labels=True, grey=True, images=1000).shape == (8, 8)
