"""The page's files: small, from this address alone, loaded in one step; its parts that need no browser."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from tests.running import tool

UI = Path(__file__).parents[3] / "ui"
VENDOR = UI / "node_modules" / "dygraphs" / "dist"
SCRIPT_BYTES_MAX = 200 * 1024


def test_all_script_is_under_200_kib_compressed():
    scripts = [*UI.glob("*.js"), VENDOR / "dygraph.min.js"]
    if not scripts[-1].exists():
        pytest.skip("dygraphs is not installed (make test does it)")
    assert len(scripts) > 20
    size = sum(len(gzip.compress(path.read_bytes())) for path in scripts)
    assert size < SCRIPT_BYTES_MAX, size


def test_every_module_is_announced_so_that_the_page_does_not_wait_in_turns():
    html = (UI / "index.html").read_text()
    announced = set(re.findall(r'modulepreload" href="/ui/(\w+\.js)"', html))
    assert announced == {path.name for path in UI.glob("*.js")} - {"main.js"}
    imported = {name for path in UI.glob("*.js") for name in re.findall(r"from '\./(\w+\.js)'", path.read_text())}
    assert imported == announced, imported ^ announced


def test_nothing_is_named_at_another_address():
    for path in [*UI.glob("*.js"), *UI.glob("*.html"), *UI.glob("*.css")]:
        addresses = set(re.findall(r"(?:https?:|wss?:)?//[\w.-]+\.\w+", path.read_text()))
        assert addresses <= {"http://www.w3.org"}, (path.name, addresses)  # the name of SVG, which is not asked


def test_no_text_is_made_into_markup():
    for path in UI.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), path


def test_one_concept_a_file():
    for path in [*UI.glob("*.js"), *UI.glob("*.css")]:
        assert len(path.read_text().splitlines()) <= 300, path.name


def test_colours_are_properties():
    for path in UI.glob("*.js"):
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text()), path.name


def test_the_parts_that_need_no_document():
    done = subprocess.run([tool("node"), "--test", str(Path(__file__).parent)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
