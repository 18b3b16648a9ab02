"""How the page is started: where its kernels look, and what its server gives away."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from creditrisk.cli import main
from creditrisk.dashboard import Access, ask_for_password
from creditrisk.dashboard.access import Attempts
from creditrisk.dashboard.paths import is_detour
from creditrisk.dashboard.start import prepare_environment
from creditrisk.errors import ParameterError
from creditrisk.settings import ROOT, reload_settings

FOLDER = ROOT / "dashboards"


SECRET = "a-token-of-some-length"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """start(*arguments, **settings) -> how the page would be served: status, options, start line, environment."""
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "risk.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    call = SimpleNamespace()

    def record(folder: Path, options, start_line: str) -> None:
        call.folder, call.options, call.said = folder, options, start_line
        call.environment = dict(os.environ)
        prepare_environment(call.environment, folder)

    monkeypatch.setattr("creditrisk.dashboard.serve_page", record)

    def run(*arguments: str, **settings: str) -> SimpleNamespace:
        for name in [name for name in os.environ if name.startswith("CREDITRISK_")]:
            monkeypatch.delenv(name)
        for name, value in ({"HOME": "."} | settings).items():
            monkeypatch.setenv(f"CREDITRISK_{name}", value)
        reload_settings()
        call.options = None
        call.status = main(["dashboard", *arguments])
        return call

    yield run
    monkeypatch.undo()
    reload_settings()


def test_relative_settings_mean_the_folder_where_the_page_was_started(start, tmp_path):
    seen = start(RUNS="kept", ARTIFACTS="models", DATABASE_URL="sqlite:///kept/log.db").environment
    assert seen["CREDITRISK_HOME"] == str(tmp_path)
    assert seen["CREDITRISK_RUNS"] == str(tmp_path / "kept")
    assert seen["CREDITRISK_ARTIFACTS"] == str(tmp_path / "models")
    assert seen["CREDITRISK_DATABASE_URL"] == f"sqlite:///{tmp_path / 'kept' / 'log.db'}"


def test_settings_that_were_left_out_are_the_same_for_the_page_as_for_every_other_command(start, tmp_path):
    seen = start().environment
    assert seen["CREDITRISK_RUNS"] == str(tmp_path / "runs")
    assert seen["CREDITRISK_ARTIFACTS"] == str(tmp_path / "artifacts")
    assert seen["CREDITRISK_DATABASE_URL"] == f"sqlite:///{tmp_path / 'runs' / 'predictions.db'}"


def test_addresses_elsewhere_are_handed_on_as_they_are(start):
    url = "postgresql+psycopg://risk:hunter2@db.example/log"
    seen = start(ARTIFACTS="s3://bucket/models", DATABASE_URL=url).environment
    assert seen["CREDITRISK_ARTIFACTS"] == "s3://bucket/models" and seen["CREDITRISK_DATABASE_URL"] == url
    assert start(DATABASE_URL="no url").environment["CREDITRISK_DATABASE_URL"] == "no url"


def test_the_page_has_its_own_template_before_those_of_the_user(start, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "/already/there")
    seen = start()
    assert seen.folder == Path("dashboards")
    assert seen.environment["JUPYTER_PATH"].split(os.pathsep) == ["dashboards/share/jupyter", "/already/there"]


def test_a_secret_reaches_no_kernel_and_is_not_shown(start):
    hashed = ask_for_password(lambda prompt: "correct horse")
    seen = start(DASHBOARD_TOKEN=SECRET, DASHBOARD_PASSWORD=hashed)
    assert seen.options.access.admits(SECRET) and not seen.options.access.admits(SECRET + "x")
    assert SECRET not in str(seen.environment) and "argon2" not in str(seen.environment)
    assert SECRET not in seen.said and SECRET not in repr(seen.options) and hashed not in repr(seen.options)
    assert "whoever has the password or token may open it" in seen.said


def test_a_token_can_be_read_from_a_file(start, tmp_path):
    (tmp_path / "token").write_text(f"{SECRET}\n")
    assert start("--token-file", str(tmp_path / "token")).options.access.admits(SECRET)


def test_a_random_token_is_part_of_the_printed_address_and_another_one_each_time(start):
    first, second = (re.search(r"/login\?token=(\S+)", start("--token", "--host", "0.0.0.0").said)[1] for _ in "ab")
    assert first != second and len(first) == 32


def test_a_password_is_known_by_its_hash_alone(start, tmp_path):
    stored = ask_for_password(lambda prompt: "correct horse")
    assert "horse" not in stored
    (tmp_path / "hash").write_text(stored)
    access = start("--password-file", str(tmp_path / "hash"), "--host", "0.0.0.0").options.access
    assert access.admits("correct horse") and not access.admits("correct house") and not access.admits(stored)


@pytest.mark.parametrize("typed", [("short", "short"), ("long enough", "long enougH")])
def test_a_password_must_be_long_and_typed_twice_the_same(typed):
    given = iter(typed)
    with pytest.raises(ParameterError, match="10 characters|not the same"):
        ask_for_password(lambda prompt: next(given))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "", "page.example"])
def test_a_network_gets_no_page_without_a_token_unless_that_is_said(start, capsys, host):
    assert start("--host", host).status == 2
    told = capsys.readouterr().err
    assert "to everybody on the network" in told and "--token" in told and "--no-token" in told
    free = start("--host", "0.0.0.0", "--no-token")
    assert free.status == 0 and "open to everybody who reaches it" in free.said


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_computer_needs_no_token_and_the_start_line_says_that_it_is_open(start, host):
    seen = start("--host", host)
    assert "open to everybody on this computer" in seen.said and not seen.options.access and seen.options.checks_host


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        ((), {"DASHBOARD_TOKEN": "short"}, "at least 16"),
        ((), {"DASHBOARD_TOKEN": "with a space in the middle"}, "no space"),
        ((), {"DASHBOARD_PASSWORD": "my password"}, "--hash-password"),
        ((), {"DASHBOARD_PASSWORD": "argon2:my password"}, "--hash-password"),
        (("--token",), {"DASHBOARD_TOKEN": SECRET}, "leave one of them out"),
        (("--no-token",), {"DASHBOARD_TOKEN": SECRET}, "contradicts"),
        (("--token-file", "nowhere"), {}, "nowhere cannot be read"),
    ],
)
def test_what_cannot_be_is_said_without_the_secret(start, capsys, arguments, settings, complaint):
    assert start(*arguments, **settings).status == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert not [value for value in settings.values() if value in told.err + told.out]


def test_the_printed_address_has_the_path_and_the_port(start):
    assert start("--port", "9001").said.splitlines()[0] == "dashboard at http://127.0.0.1:9001/"
    assert "http://127.0.0.1:8866/risk/page/\n" in start("--base-url", "risk/page/").said


def test_wrong_secrets_make_an_address_wait_and_a_right_one_does_not():
    now = [0.0]
    attempts = Attempts(most=3, seconds=60, clock=lambda: now[0])
    for _ in range(3):
        assert attempts.wait("a") == 0
        attempts.begin("a")
    assert attempts.wait("a") == 60 and attempts.wait("b") == 0
    now[0] = 61
    assert attempts.wait("a") == 0
    for _ in range(5):
        attempts.begin("b")
        attempts.was_right("b")
    assert attempts.wait("b") == 0


def test_what_signs_logins_is_the_same_after_a_restart_but_not_with_another_secret():
    one, other = Access.of(SECRET), Access.of(SECRET + "2")
    assert one.cookie_secret() == Access.of(SECRET).cookie_secret() != other.cookie_secret()
    assert Access().cookie_secret() != Access().cookie_secret()


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/../x", True), ("/voila/files/public/../../x", True), ("/a/%2e%2e/b", True), ("/a/%252e%252e%252fb", True),
        ("/a/..%5cb", True), ("/a%00b", True), ("/a..b/c", False), ("/voila/static/voila.js", False), ("/", False),
    ],
)  # fmt: skip
def test_a_path_that_leads_upwards_is_known_however_it_is_written(path, refused):
    assert is_detour(path) is refused


def test_the_notebook_of_the_page_is_short_and_without_outputs():
    notebook = json.loads((FOLDER / "risk.ipynb").read_text("utf-8"))
    assert 1 <= len(notebook["cells"]) <= 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert cell["outputs"] == [] and cell["execution_count"] is None and len(cell["source"]) <= 8


def test_the_server_of_the_page_gives_no_sources_and_keeps_no_abandoned_kernels():
    config = json.loads((FOLDER / "voila.json").read_text("utf-8"))
    page = config["VoilaConfiguration"]
    assert page["strip_sources"] and not page["show_tracebacks"]
    assert page["allow_template_override"] == page["allow_theme_override"] == "NO"
    allowed = [re.compile(pattern) for pattern in page["file_allowlist"]]
    served = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert served and not [
        path for path in served if any(one.fullmatch(str(path.relative_to(FOLDER))) for one in allowed)
    ]
    # Without the first a closed tab keeps its kernel, since Voila's own request to end it is refused.
    assert config["Voila"]["tornado_settings"]["disable_check_xsrf"] is True
    assert 0 < config["MappingKernelManager"]["cull_idle_timeout"] <= 3600


def test_no_template_of_the_page_asks_another_host_for_anything():
    templates = [path for path in Path(FOLDER / "share").rglob("*") if path.suffix in (".j2", ".html", ".css", ".js")]
    assert {"index.html.j2", "page.html", "login.html", "session.js"} <= {path.name for path in templates}
    for path in templates:
        assert not re.search(r"https?://", path.read_text("utf-8")), path
