"""The download against a server that misbehaves: the whole file, or one clear error."""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from loopback import Server, dead_url

from helpers import download as module
from helpers.download import DataError, download

BODY = np.random.default_rng(0).bytes(700_001)  # some blocks and a rest
MD5 = hashlib.md5(BODY).hexdigest()
CHILD = """
import sys
from pathlib import Path
from helpers.download import download
url, destination, size, md5 = sys.argv[1:]
download([url], Path(destination), int(size), md5)
"""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    server.files["file.bin"] = BODY
    yield server
    server.close()


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "cache" / "file.bin"


def get(destination, *urls):
    return download(urls, destination, len(BODY), MD5)


def visible(folder):
    """What a reader sees there, and any unfinished file."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_success_and_no_second_download(server, destination):
    url = server.url("good", "file.bin")
    assert get(destination, url) == url
    assert destination.read_bytes() == BODY
    assert visible(destination.parent) == ["file.bin"]
    assert get(destination, url) is None
    assert len(server.requests) == 1


FAILURES = {
    "truncated": "the connection ended after 350000 of 700001 bytes",
    "short": "the connection ended after 700000 of 700001 bytes",
    "long": "more than the expected 700001 bytes",
    "wrong": f"expected {MD5}",
    "html": "a web page instead of the file",
    "disguised": f"expected {MD5}",
    "403": "HTTP status 403 Forbidden",
    "503": "HTTP status 503 Service Unavailable",
    "cut": "reset by peer",
}


@pytest.mark.parametrize("manner", FAILURES)
def test_failure_is_one_clear_error_and_leaves_nothing(server, destination, manner):
    url = server.url(manner, "file.bin")
    with pytest.raises(DataError) as caught:
        get(destination, url)
    assert url in str(caught.value)
    assert FAILURES[manner] in str(caught.value)
    assert "file.bin could not be downloaded" in str(caught.value)
    assert [place for place, _ in caught.value.tried] == [url]
    assert visible(destination.parent) == []


@pytest.mark.parametrize("manner", FAILURES)
def test_next_mirror_serves_after_failure(server, destination, manner):
    good = server.url("good", "file.bin")
    assert get(destination, server.url(manner, "file.bin"), good) == good
    assert destination.read_bytes() == BODY
    assert visible(destination.parent) == ["file.bin"]


def test_first_mirror_dead_second_alive(server, destination):
    good = server.url("good", "file.bin")
    assert get(destination, dead_url("file.bin"), good) == good
    assert destination.read_bytes() == BODY


def test_all_mirrors_dead_names_each(destination, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    urls = [dead_url("file.bin"), dead_url("file.bin")]
    with pytest.raises(DataError) as caught:
        get(destination, *urls)
    assert all(f"{url}: " in str(caught.value) for url in urls)
    assert "refused" in caught.value.tried[0][1]
    assert "Check the network" in str(caught.value)


def test_silent_mirror_is_given_up(server, destination, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    with pytest.raises(DataError, match="timed out after 1000 of 700001 bytes"):
        get(destination, server.url("silent", "file.bin"))
    assert visible(destination.parent) == []


def test_slow_mirror_is_left_for_the_next(server, destination, monkeypatch, capsys):
    monkeypatch.setattr(module, "RATE_WINDOW", 0.1)
    monkeypatch.setattr(module, "MINIMUM_RATE", 1e9)
    good = server.url("good", "file.bin")
    assert get(destination, server.url("slow", "file.bin"), good) == good
    assert destination.read_bytes() == BODY
    assert "too slow" in capsys.readouterr().out


def test_last_mirror_may_be_slow_but_not_drip(server, destination, monkeypatch):
    monkeypatch.setattr(module, "RATE_WINDOW", 0.1)
    monkeypatch.setattr(module, "MINIMUM_RATE", 1e9)
    slow = server.url("slow", "file.bin")
    assert get(destination, dead_url("file.bin"), slow) == slow
    destination.unlink()
    monkeypatch.setattr(module, "LAST_MINIMUM_RATE", 1e9)
    with pytest.raises(DataError, match="too slow"):
        get(destination, slow)


@pytest.mark.parametrize("damaged", [b"", BODY[:-1], bytes(len(BODY))])
def test_damaged_file_is_replaced(server, destination, damaged):
    destination.parent.mkdir()
    destination.write_bytes(damaged)
    get(destination, server.url("good", "file.bin"))
    assert destination.read_bytes() == BODY


def test_failed_download_leaves_the_old_file(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(b"old")
    with pytest.raises(DataError):
        get(destination, server.url("cut", "file.bin"))
    assert destination.read_bytes() == b"old"


def test_interrupt_leaves_nothing(server, destination, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Progress, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(destination, server.url("good", "file.bin"))
    assert visible(destination.parent) == []


def start_child(server, destination, manner):
    command = [sys.executable, "-c", CHILD, server.url(manner, "file.bin")]
    command += [str(destination), str(len(BODY)), MD5]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_download_once(server, destination):
    with start_child(server, destination, "held") as first:
        assert server.asked.wait(20)
        with start_child(server, destination, "held") as second:
            # The first is in the middle of the file when the second comes.
            assert "Waiting for another process" in second.stdout.readline()
            server.release.set()
            _, errors = second.communicate(timeout=20)
            assert second.returncode == 0, errors
        _, errors = first.communicate(timeout=20)
        assert first.returncode == 0, errors
    assert len(server.requests) == 1
    assert destination.read_bytes() == BODY
    assert visible(destination.parent) == ["file.bin"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_process_holds_no_lock_and_its_rest_is_no_file(server, destination, monkeypatch):
    with start_child(server, destination, "held") as child:
        assert server.asked.wait(20)
        child.send_signal(signal.SIGKILL)
    assert not destination.exists()
    monkeypatch.setattr(module, "LOCK_TIMEOUT", 1.0)
    get(destination, server.url("good", "file.bin"))
    assert destination.read_bytes() == BODY
    assert visible(destination.parent) == ["file.bin"]


def test_lock_that_is_never_freed_ends_in_an_error(server, destination, monkeypatch):
    monkeypatch.setattr(module, "LOCK_TIMEOUT", 0.2)
    with start_child(server, destination, "held") as child:
        assert server.asked.wait(20)
        with pytest.raises(DataError, match="another process has been downloading it"):
            get(destination, server.url("good", "file.bin"))
        child.kill()


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError) as caught:
        get(tmp_path / "cache" / "file.bin", server.url("good", "file.bin"))
    assert f"cannot be saved in {tmp_path / 'cache'}" in str(caught.value)
    assert "XDG_CACHE_HOME" in str(caught.value)
    assert server.requests == []


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
@pytest.mark.parametrize("exists", [True, False])
def test_read_only_folder(server, exists):
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        root = os.geteuid() == 0  # whom permissions do not stop
        if root:
            os.seteuid(nobody)
        try:
            with pytest.raises(DataError, match="cannot be saved in .*: Permission denied"):
                get(folder / ("file.bin" if exists else "new/file.bin"), server.url("good"))
        finally:
            if root:
                os.seteuid(0)
        assert list(folder.iterdir()) == []
        folder.chmod(0o755)
    assert server.requests == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(server, destination):
    destination.parent.mkdir()
    # Every write to /dev/full fails as on a full disk.
    (destination.parent / ".file.bin.part").symlink_to("/dev/full")
    with pytest.raises(DataError) as caught:
        get(destination, server.url("good", "file.bin"), server.url("good", "file.bin"))
    assert "No space left on device" in str(caught.value)
    assert "Make room" in str(caught.value)
    assert len(server.requests) == 1  # another mirror would not help
    assert visible(destination.parent) == []
