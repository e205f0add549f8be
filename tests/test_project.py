"""The project's own files agree with one another."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vaebook.cli
import vaelib.cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [Requirement(line) for line in LINES if line and not line.startswith("#")]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name, python):
    """The versions that constraints.txt gives a package on a Linux machine with that Python."""
    machine = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
    named = [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(name)]
    return [next(iter(pin.specifier)).version for pin in named if not pin.marker or pin.marker.evaluate(machine)]


def requirements():
    """All requirements of the library and of its extras, but those on its own extras."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for lines in lists for line in lines if not line.startswith("vaelib[")]


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_give_every_requirement_one_exact_version(python):
    for requirement in requirements():
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        versions = pins(requirement.name, python)
        assert len(versions) == 1, f"constraints.txt has {versions} for {requirement.name} on Python {python}"
        assert requirement.specifier.contains(versions[0]), f"{requirement} is not met by {versions[0]}"


def test_every_constraint_is_exact():
    assert [str(pin) for pin in PINS if [part.operator for part in pin.specifier] != ["=="]] == []


def test_conda_environment_is_what_make_installs():
    conda = yaml.safe_load(text("environment.yml"))["dependencies"]
    assert "python=3.11" in conda and 'python-version: "3.11"' in text(".github/workflows/book.yml")
    constraint, editable = next(entry for entry in conda if isinstance(entry, dict))["pip"]
    assert constraint == "--constraint constraints.txt"
    assert "--constraint constraints.txt --editable" in text("Makefile")
    extras = re.fullmatch(r"--editable \.\[(.*)\]", editable).group(1).split(",")
    assert set(extras) == {"book", "chapters"} <= set(PROJECT["optional-dependencies"])


def test_one_version_everywhere():
    assert yaml.safe_load(text("CITATION.cff"))["version"] == vaelib.__version__
    assert importlib.metadata.version("vaelib") == vaelib.__version__, "install it again: make distclean test"
    assert f"\n## {vaelib.__version__}" in text("CHANGELOG.md")


def test_documented_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.MULTILINE))
    pages = "".join(text(page) for page in ("README.md", "CONTRIBUTING.md", ".ci/run"))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", pages, flags=re.MULTILINE))
    assert {"book", "test"} <= named <= targets


def test_documented_commands_exist():
    pages = ("README.md", "CONTRIBUTING.md", "Makefile", "chapters/cluster.md", "chapters/questions.md")
    typed = re.findall(r"(?:^|[`/])(vaelib|vaebook) ([a-z][a-z-]*)", "\n".join(map(text, pages)), flags=re.MULTILINE)
    known = {app.name[0]: set(app) for app in (vaelib.cli.app, vaebook.cli.app)}
    assert len(typed) > 5 and [command for command in typed if command[1] not in known[command[0]]] == []


def test_contributing_is_short():
    assert len(text("CONTRIBUTING.md").splitlines()) <= 50


def test_light_core_imports_without_torch():
    """What a reader without torch uses: the data, the figures, and what a chapter calls."""
    code = "import sys; sys.modules['torch'] = None; import vaelib.config, vaelib.data, vaelib.plots, vaebook.page"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_same_tests_are_collected_every_time(request):
    """xdist's workers each collect the tests, seconds apart, and refuse to start where two lists differ."""

    def name(item):
        group = item.get_closest_marker("xdist_group")
        return item.nodeid.removesuffix(f"@{group.args[0]}") if group else item.nodeid  # xdist adds it

    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    again, here = ran.stdout.splitlines()[:-1], [name(item) for item in request.session.items]
    wanted = set(here)
    assert len(again) > 500 and [found for found in again if found in wanted] == here
    assert [found for found in again if "\\x" in found] == []  # the bytes of a value


def test_workflows_pass_actionlint():
    actionlint = Path(sys.executable).parent / ("actionlint.exe" if os.name == "nt" else "actionlint")
    files = sorted(str(path) for path in (ROOT / ".github" / "workflows").iterdir())
    ran = subprocess.run([actionlint, *files], capture_output=True, text=True)
    assert files and ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.xdist_group("groups")
def test_groups_stay_on_one_process(request):
    """What is built once, such as the site, is built once only if xdist finds the group in a test's name."""
    assert request.node.nodeid.endswith("@groups") or "PYTEST_XDIST_WORKER" not in os.environ
