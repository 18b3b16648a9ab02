"""The page's server by its answers: what it gives to whom, and when its kernels end. Paths are sent as they are."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from page_servers import PageProcess, kernel_of

TOKEN = "sesame-0123456789abcdef"
NO_KERNEL = "00000000-0000-0000-0000-000000000000"
UPGRADE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip
SOURCES = ("open_page", "VoilaConfiguration", "extends", "[tool.", "root:", "creditrisk train")


@pytest.fixture(scope="module")
def closed(place) -> Iterator[PageProcess]:
    """The page behind a token, under a path, with little patience for abandoned kernels."""
    (place.folder / "token").write_text(TOKEN)
    server = PageProcess(
        place.folder, "--token-file", "token", "--base-url", "/risk", "--cull-after", "2", base_url="/risk/"
    )
    yield server
    said = server.stop()
    assert TOKEN not in said


@pytest.fixture(scope="module")
def cookie(closed) -> dict[str, str]:
    status, headers, _ = closed.ask("/risk/login", "POST", body=f"secret={TOKEN}")
    assert status == 302 and headers["Location"] == "/risk/"
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Lax" in headers["Set-Cookie"]
    return {"Cookie": headers["Set-Cookie"].partition(";")[0]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/risk/"), ("GET", "/risk/?theme=dark"), ("GET", "/risk/risk.ipynb"), ("GET", "/risk/voila/files/"),
        ("GET", "/risk/voila/files/public/.gitkeep"), ("GET", "/risk/voila/files/public/logo.png"),
        ("GET", "/risk/voila/files/risk.ipynb"), ("GET", f"/risk/api/kernels/{NO_KERNEL}"),
        ("DELETE", f"/risk/api/kernels/{NO_KERNEL}"), ("GET", "/risk/api/kernels"), ("POST", "/risk/api/kernels"),
        ("POST", f"/risk/voila/api/shutdown/{NO_KERNEL}"), ("POST", "/risk/"), ("HEAD", "/risk/"),
        ("GET", f"/risk/voila/query/{NO_KERNEL}"), ("GET", "/risk/api/contents/risk.ipynb"),
        ("GET", "/risk//voila/files/public/.gitkeep"), ("GET", "/risk/voila/files/public/%2egitkeep"),
        ("PUT", "/risk/login"), ("GET", "/risk/?token="), ("GET", "//risk/"),
    ],
)  # fmt: skip
def test_without_the_token_nothing_is_given_but_the_way_to_the_login_page(closed, method, path):
    status, headers, text = closed.ask(path, method)
    assert status in (302, 403, 404, 405)
    assert status != 302 or headers["Location"].startswith("/risk/login")
    assert not [source for source in SOURCES if source in text]
    assert "kernelId" not in text and "username" not in headers.get("Set-Cookie", "")


@pytest.mark.parametrize("path", [f"/risk/api/kernels/{NO_KERNEL}/channels", f"/risk/voila/query/{NO_KERNEL}"])
def test_without_the_token_no_socket_opens_even_for_a_kernel_that_runs(closed, path):
    for kernel in (NO_KERNEL, *closed.kernels().values()):
        assert closed.ask(path.replace(NO_KERNEL, kernel), headers=UPGRADE)[0] == 403


def test_without_the_token_a_kernel_that_runs_cannot_be_looked_at_or_ended(closed):
    running = closed.kernels()
    for kernel in running.values():
        for method, path in (("GET", "api/kernels"), ("DELETE", "api/kernels"), ("POST", "voila/api/shutdown")):
            assert closed.ask(f"/risk/{path}/{kernel}", method)[0] == 403
    assert running and running.items() <= closed.kernels().items()


def test_a_visitor_with_the_token_cannot_ask_in_the_name_of_a_kernel(closed, cookie):
    for kernel in closed.kernels().values():
        assert closed.ask(f"/risk/voila/query/{kernel}", headers=UPGRADE | cookie)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/risk/voila/files/../README.md", "/risk/voila/files/public/../risk.ipynb", "/../../etc/passwd",
        "/risk/voila/files/%2e%2e/README.md", "/risk/voila/files/public/..%2f..%2fREADME.md",
        "/risk/voila/files/public/..%2frisk.ipynb", "/risk/voila/files/public/%2e%2e%2fvoila.json",
        "/risk/voila/files/public/..%5c..%5crisk.ipynb", "/risk/voila/files/public/%252e%252e/risk.ipynb",
        "/risk/voila/static/../../../../etc/passwd", "/risk/voila/static/..%2f..%2f..%2fvoila.json",
        "/risk/voila/templates/offline/../index.html.j2", "/risk/voila/templates/offline/..%2findex.html.j2",
        "/risk/voila/templates/../../etc/passwd", "/risk/voila/labextensions/..%2f..%2f..%2fetc/passwd",
        "/risk/voila/api/themes/..%2f..%2fetc/passwd", "/risk/voila/files/public/a%00.png",
    ],
)  # fmt: skip
def test_a_path_that_leads_upwards_is_refused_with_and_without_the_token(closed, cookie, path):
    for headers in ({}, cookie):
        status, _, text = closed.ask(path, headers=headers)
        assert status in (400, 403, 404)
        assert not [source for source in SOURCES if source in text]


@pytest.mark.parametrize(
    "path",
    [
        "voila/files/risk.ipynb", "voila/files/RISK.IPYNB", "voila/files/voila.json", "voila/files/public/.gitkeep",
        "voila/files/share/jupyter/voila/templates/offline/login.html", "voila/files//etc/passwd", "risk.ipynb",
        "voila/templates/offline/login.html", "voila/templates/offline/index.html.j2", "voila/templates/offline",
        "voila/templates/", "voila/tree", "voila/render/risk.ipynb", "api/contents/risk.ipynb", "api/terminals",
        "voila/api/contents/risk.ipynb", "voila/static//etc/passwd", "voila/labextensions//etc/passwd",
    ],
)  # fmt: skip
def test_sources_and_files_are_given_to_nobody(closed, cookie, path):
    for headers in ({}, cookie):
        status, _, text = closed.ask(f"/risk/{path}", headers=headers)
        assert status >= 400 or (status == 302 and not headers)
        assert not [source for source in SOURCES if source in text]


def test_what_the_page_is_made_of_needs_no_token(closed):
    for path in ("voila/static/voila.js", "voila/templates/offline/static/voila-style.js"):
        status, headers, _ = closed.ask(f"/risk/{path}")
        assert status == 200 and headers["X-Content-Type-Options"] == "nosniff"


def test_the_token_in_an_address_becomes_a_cookie_and_leaves_the_address(closed):
    status, headers, _ = closed.ask(f"/risk/?token={TOKEN}")
    assert (status, headers["Location"]) == (302, "/risk/") and TOKEN not in str(headers)
    again = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
    assert closed.ask("/risk/login", headers=again)[0] == 302
    status, headers, _ = closed.ask("/risk/logout", headers=again)
    assert status == 302 and headers["Location"] == "/risk/login" and "expires" in headers["Set-Cookie"]


def test_a_script_may_send_the_token_in_a_header(closed):
    assert closed.ask("/risk/api/kernels/" + NO_KERNEL, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 404


@pytest.mark.parametrize(
    "cookie_value", ["", "x", "2|1:0|10:1700000000|18:username|4:e30=|" + "0" * 64, "%00", "2|1:0|10:9|1:u|1:e|x"]
)
def test_an_invented_cookie_opens_nothing(closed, cookie, cookie_value):
    name = cookie["Cookie"].partition("=")[0]
    status, headers, _ = closed.ask("/risk/", headers={"Cookie": f"{name}={cookie_value}"})
    assert status == 302 and headers["Location"].startswith("/risk/login")


def test_another_site_can_neither_post_nor_open_a_socket(closed, cookie):
    status, _, text = closed.ask("/risk/", headers=cookie)
    kernel = kernel_of(text)
    foreign = cookie | {"Origin": "https://evil.example"}
    assert status == 200 and "open_page" not in text and TOKEN not in text
    assert closed.ask(f"/risk/voila/api/shutdown/{kernel}", "POST", foreign)[0] == 403
    assert closed.ask(f"/risk/api/kernels/{kernel}", "DELETE", foreign)[0] in (403, 404)
    assert closed.ask(f"/risk/api/kernels/{kernel}/channels", headers=foreign | UPGRADE)[0] == 403
    assert closed.ask(f"/risk/api/kernels/{kernel}", headers=cookie)[0] == 200
    assert closed.ask(f"/risk/voila/api/shutdown/{kernel}", "POST", cookie)[0] == 204
    assert closed.ask(f"/risk/api/kernels/{kernel}", headers=cookie)[0] == 404


def test_wrong_tokens_are_answered_late_and_then_not_at_all(closed):
    attacker = "127.0.0.66"
    for body in ("secret=wrong", "", f"secret={TOKEN}x"):
        began = time.monotonic()
        status, _, text = closed.ask("/risk/login", "POST", body=body, source=attacker)
        assert status == 401 and "That is not the token" in text and time.monotonic() - began > 0.9
    assert closed.ask("/risk/?token=wrong", source=attacker)[0] == 302
    assert closed.ask("/risk/", headers={"Authorization": "token wrong"}, source=attacker)[0] == 302
    status, headers, text = closed.ask("/risk/login", "POST", body=f"secret={TOKEN}", source=attacker)
    assert status == 429 and 0 < int(headers["Retry-After"]) <= 61 and "Wait a minute" in text
    assert closed.ask(f"/risk/?token={TOKEN}", source=attacker)[1]["Location"].startswith("/risk/login")
    assert closed.ask("/risk/login", source=attacker)[0] == 200, "looking at the login page is no attempt"
    assert closed.ask("/risk/login", "POST", body=f"secret={TOKEN}")[0] == 302, "others are not kept waiting"


def test_the_path_without_its_last_slash_leads_to_the_page(closed):
    status, headers, _ = closed.ask("/risk")
    assert (status, headers["Location"]) == (302, "/risk/")


def test_neither_the_command_nor_the_log_has_the_token(closed):
    assert TOKEN not in Path(f"/proc/{closed.process.pid}/cmdline").read_text()
    said = closed.output.read_text()
    assert said.splitlines()[0] == f"dashboard at {closed.address}/"
    assert "whoever has the token may open it" in said.splitlines()[1]
    assert "wrong" not in said and TOKEN not in said
    for pid in closed.kernels():
        assert TOKEN not in Path(f"/proc/{pid}/environ").read_text()


def test_a_page_without_a_token_answers_to_this_computer_s_names_only(site):
    assert site.server.ask(f"/api/kernels/{NO_KERNEL}", headers={"Host": "localhost"})[0] == 404
    for host in ("evil.example", "192.0.2.7", f"evil.example:{site.server.port}"):
        assert site.server.ask("/", headers={"Host": host})[0] == 403
    first, second = site.output.read_text().splitlines()[:2]
    assert first == f"dashboard at {site.address}/" and "open to everybody on this computer" in second


def test_a_kernel_that_dies_is_replaced_before_the_next_visit_and_reported_to_its_page(closed, cookie):
    closed.wait_until_ready()
    closed.wait_for_kernels(1)
    (pid,) = closed.kernels()
    kill(pid)
    status, _, text = closed.ask("/risk/", headers=cookie)
    kernel = kernel_of(text)
    assert status == 200 and "widget-view+json" in text
    assert closed.ask(f"/risk/api/kernels/{kernel}", headers=cookie)[0] == 200
    kill(next(pid for pid, known in closed.kernels().items() if known == kernel))
    assert closed.ask(f"/risk/api/kernels/{kernel}", headers=cookie)[0] == 404


def kill(pid: int) -> None:
    """End a process as the system does when memory runs out; returns once all its threads have ended."""
    os.kill(pid, signal.SIGKILL)
    own = Path(f"/proc/{pid}")
    with suppress(OSError):  # its parent may have buried it by now
        while " Z " not in (own / "stat").read_text() or len(os.listdir(own / "task")) > 1:
            time.sleep(0.02)
