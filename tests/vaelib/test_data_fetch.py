"""Looking up, fetching and checking files, against a web server of our own and with the network refused."""

import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from vaelib import data
from vaelib.data import Source, held, read

CONTENT = {"one": bytes(range(256)) * 400, "two": b"the other file"}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with an empty cache, an empty folder of its user's, no proxy and no patience."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("VAELIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data, "PAUSE", 0.0)
    monkeypatch.setattr(data, "TIMEOUT", (5.0, 5.0))
    return tmp_path


@pytest.fixture
def server():
    """`server.answers[path]` is a body or a function of the handler; `server.asked` lists the requested paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            answer = self.server.answers.get(self.path)
            if answer is None:
                self.send_error(404)
            elif callable(answer):
                answer(self)
            else:
                self.reply(answer)

        def reply(self, body, length=None, **headers):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.answers = [], {}
        running.address = f"http://127.0.0.1:{running.server_address[1]}"
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def source(*mirrors):
    return Source(dataset="tiny", sha256=HASHES, mirrors=mirrors, instead="digits")


def from_server(server, *folders):
    return source(*(f"{server.address}/{folder}/{{name}}.gz" for folder in folders or ("a",)))


def nowhere():
    """A mirror that refuses every connection: a port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return source(f"http://127.0.0.1:{free.getsockname()[1]}/{{name}}")


def cached_files(machine):
    return sorted(path.name for path in (machine / "cache" / "tiny").iterdir() if path.suffix != ".lock")


# The user's own folder


@pytest.mark.parametrize("folder", [".", "tiny"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_own_folder_comes_first_packed_or_not(machine, monkeypatch, folder, packed):
    place = machine / "own" / folder
    place.mkdir(exist_ok=True)
    content = CONTENT["one"]
    (place / ("one.gz" if packed else "one")).write_bytes(gzip.compress(content) if packed else content)
    monkeypatch.setenv("VAELIB_DATA", str(machine / "own"))
    assert read(nowhere(), "one") == content
    assert not (machine / "cache").exists()


def damaged(content):
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    return bytes(flipped)


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("one", CONTENT["one"][:-1], "is not the published one of tiny: SHA-256"),
        ("one", damaged(CONTENT["one"]), f"expected {HASHES['one'][:12]}"),
        ("one", b"", "is not the published one"),
        ("one", CONTENT["two"], r"\(that is two\)"),
        ("one.gz", gzip.compress(CONTENT["two"]), r"\(that is two\)"),
        ("one.gz", gzip.compress(CONTENT["one"])[:-9], "is a damaged gzip file"),
        ("one.gz", damaged(gzip.compress(CONTENT["one"])), "is a damaged gzip file|SHA-256"),
    ],
)
def test_a_wrong_file_in_the_own_folder_is_named_and_left_alone(machine, monkeypatch, server, file, content, message):
    server.answers["/a/one.gz"] = CONTENT["one"]
    path = machine / "own" / file
    path.write_bytes(content)
    monkeypatch.setenv("VAELIB_DATA", str(machine / "own"))
    with pytest.raises(data.DataError, match=message) as caught:
        read(from_server(server), "one")
    assert str(path) in str(caught.value) and "replace the file" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content and list((machine / "own").iterdir()) == [path]
    assert server.asked == []


def test_an_own_folder_without_the_file_falls_back_to_the_cache(machine, monkeypatch):
    monkeypatch.setenv("VAELIB_DATA", str(machine / "own"))
    (machine / "cache" / "tiny").mkdir(parents=True)
    (machine / "cache" / "tiny" / "one.gz").write_bytes(gzip.compress(CONTENT["one"]))
    assert read(nowhere(), "one") == CONTENT["one"]


@pytest.mark.parametrize("folder", ["own/nothing", "own/file"])
@pytest.mark.parametrize("use", [read, held])
def test_an_own_folder_that_is_none_is_refused(machine, monkeypatch, folder, use):
    (machine / "own" / "file").write_text("x")
    monkeypatch.setenv("VAELIB_DATA", str(machine / folder))
    with pytest.raises(data.DataError, match=f"VAELIB_DATA=.*{folder} is not a folder: correct it, or unset it"):
        use(nowhere(), "one")


def test_what_is_no_regular_file_is_not_read(machine, monkeypatch):
    os.mkfifo(machine / "own" / "one")
    (machine / "own" / "one.gz").write_bytes(gzip.compress(CONTENT["one"]))
    monkeypatch.setenv("VAELIB_DATA", str(machine / "own"))
    assert read(nowhere(), "one") == CONTENT["one"]


def test_a_gzip_bomb_ends_at_the_limit(machine, monkeypatch):
    monkeypatch.setattr(data, "LARGEST", 1 << 20)
    monkeypatch.setenv("VAELIB_DATA", str(machine / "own"))
    (machine / "own" / "one.gz").write_bytes(gzip.compress(bytes(200 << 20), 1))
    tracemalloc.start()
    with pytest.raises(data.DataError, match="is not the published one"):
        read(nowhere(), "one")
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


# Download and cache


def test_a_download_is_kept_and_not_repeated(machine, server):
    server.answers["/a/one.gz"] = gzip.compress(CONTENT["one"])
    for _ in range(2):
        assert read(from_server(server), "one") == CONTENT["one"]
    assert server.asked == ["/a/one.gz"]
    assert cached_files(machine) == ["one"]
    assert (machine / "cache" / "tiny" / "one").read_bytes() == CONTENT["one"]


def test_a_server_that_unpacks_on_the_way_is_understood(server):
    packed = gzip.compress(CONTENT["one"])
    server.answers["/a/one.gz"] = lambda handler: handler.reply(packed, Content_Encoding="gzip")
    assert read(from_server(server), "one") == CONTENT["one"]


def cut_short(handler):
    handler.reply(gzip.compress(CONTENT["one"])[:100], length=5000)


@pytest.mark.parametrize(
    "first",
    [None, cut_short, b"<html>moved</html>", gzip.compress(CONTENT["two"]), gzip.compress(CONTENT["one"])[:50]],
    ids=["404", "cut short", "a web page", "another file", "half a gzip"],
)
def test_the_second_mirror_helps_when_the_first_fails(machine, server, first):
    server.answers |= {"/a/one.gz": first, "/b/one.gz": gzip.compress(CONTENT["one"])}
    assert read(from_server(server, "a", "b"), "one") == CONTENT["one"]
    assert server.asked == ["/a/one.gz", "/b/one.gz"]
    assert cached_files(machine) == ["one"]


def test_a_mirror_that_recovers_is_asked_again(server):
    def second_time_lucky(handler):
        handler.reply(CONTENT["one"]) if len(server.asked) == 2 else handler.send_error(503)

    server.answers["/a/one.gz"] = second_time_lucky
    assert read(from_server(server), "one") == CONTENT["one"]


def test_what_never_arrives_whole_is_never_kept(machine, server):
    server.answers["/a/one.gz"] = cut_short
    with pytest.raises(data.MissingDataError, match=r"127\.0\.0\.1: ChunkedEncodingError"):
        read(from_server(server), "one")
    assert len(server.asked) == data.ROUNDS
    assert cached_files(machine) == []


def test_wrong_bytes_from_every_mirror_are_reported(machine, server):
    server.answers |= {"/a/one.gz": CONTENT["two"]}
    with pytest.raises(data.MissingDataError, match=r"what it sent is not the published one .*that is two") as caught:
        read(from_server(server, "a", "b"), "one")
    assert "404" in str(caught.value)
    assert cached_files(machine) == []


@pytest.mark.parametrize("name", ["one", "one.gz"])
def test_a_bad_file_in_the_cache_is_fetched_again(machine, server, name):
    server.answers["/a/one.gz"] = gzip.compress(CONTENT["one"])
    (machine / "cache" / "tiny").mkdir(parents=True)
    (machine / "cache" / "tiny" / name).write_bytes(damaged(CONTENT["one"]))
    with pytest.warns(UserWarning, match=f"cache/tiny/{name} is not the published one: it is fetched again"):
        assert read(from_server(server), "one") == CONTENT["one"]
    assert read(from_server(server), "one") == CONTENT["one"]
    assert server.asked == ["/a/one.gz"] and cached_files(machine) == sorted({"one", name})


def test_without_network_one_message_says_all_that_helps(machine):
    refused = nowhere()
    with pytest.raises(data.MissingDataError) as caught:
        read(refused, "one")
    message = str(caught.value)
    assert "tiny needs the file one" in message and "127.0.0.1: ConnectionError" in message
    assert refused.mirrors[0].format(name="one") in message
    assert str(machine / "cache" / "tiny") in message and "VAELIB_DATA" in message and "with two" in message
    assert "'digits'" in message
    assert caught.value.__context__ is None  # no chain of foreign tracebacks


def test_a_cache_that_cannot_be_written_is_named(machine):
    (machine / "cache").write_text("a file in the way")
    with pytest.raises(data.DataError, match=r"the cache .*cache/tiny cannot be used .* set VAELIB_CACHE"):
        read(nowhere(), "one")


def test_two_processes_at_once_fetch_once(machine, server):
    def slow(handler):
        time.sleep(0.5)
        handler.reply(gzip.compress(CONTENT["one"]))

    server.answers["/a/one.gz"] = slow
    code = (
        "from vaelib.data import Source, read\n"
        f"content = read(Source('tiny', {HASHES!r}, ({server.address + '/a/{name}.gz'!r},), 'digits'), 'one')\n"
        "print(len(content))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == [str(len(CONTENT["one"]))] * 2
    assert server.asked == ["/a/one.gz"]
    assert cached_files(machine) == ["one"]


def test_the_cache_lies_in_the_system_place_unless_told_otherwise(machine, monkeypatch):
    assert data.cache_dir() == machine / "cache"
    monkeypatch.delenv("VAELIB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine))
    assert "vaelib" in data.cache_dir().parts


# The published sets


@pytest.mark.parametrize("published", [data.MNIST, data.FREY])
def test_each_published_file_has_more_than_one_mirror_and_a_full_hash(published):
    for name, expected in published.sha256.items():
        assert len(set(published.urls(name))) > 1
        assert all(url.startswith("https://") and name in url for url in published.urls(name))
        assert len(expected) == 64 and set(expected) <= set("0123456789abcdef")
    assert data.load(published.instead).stand_in_for == published.dataset


@pytest.mark.parametrize("name, published", [("mnist", data.MNIST), ("frey", data.FREY)])
def test_real_files_pass_and_swapped_or_damaged_ones_do_not(name, published, real_data, machine, monkeypatch):
    own = machine / "own"
    for file in (path for pattern in published.sha256 for path in real_data.glob(f"**/{pattern}*")):
        shutil.copyfile(file, own / file.name)
    monkeypatch.setenv("VAELIB_DATA", str(own))
    first, *others = sorted(own.iterdir())
    original = first.read_bytes()
    for wrong in [original[:-1000], damaged(original), *(other.read_bytes() for other in others)]:
        first.write_bytes(wrong)
        with pytest.raises(data.DataError, match=first.name):
            data.LOADERS[name]()
    first.write_bytes(original)
    assert isinstance(data.LOADERS[name]().images, np.ndarray)
