"""Who may call: keys made, stored, revoked; what callers without one get; limits; headers on every answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import stat
import subprocess
import sys

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from creditrisk.errors import ParameterError
from creditrisk.serving import access
from creditrisk.serving.access import (
    LOOPBACK_NAMES,
    SECURITY_HEADERS,
    Access,
    Keys,
    RateLimit,
    add_key,
    described,
    is_loopback,
    keys_from,
    listed_keys,
    make_key,
    read_keys,
    require_keys_or_loopback,
    revoke_keys,
)
from servers import run_alone


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.jsonl"


def api() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.get("/who")
    def who(request: Request) -> str | None:
        return request.state.caller

    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError

    return app


def client(*arguments, base_url: str = "http://testserver", **options) -> TestClient:
    return TestClient(Access(api(), *arguments, **options), base_url, raise_server_exceptions=False)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# ------------------------------------------------------------------------------------- keys


def test_a_key_has_256_random_bits_and_only_its_hash_is_stored(file):
    key, stored = add_key(file, "branch")
    assert re.fullmatch(r"cr_[0-9a-f]{12}_[0-9a-f]{64}", key)
    secret = key[16:]
    assert stored.hash == hashlib.sha256(secret.encode()).hexdigest()
    assert key[3:15] == stored.id
    assert secret not in file.read_text()
    assert add_key(file, "other")[0][16:] != secret


def test_a_new_file_of_keys_is_for_its_owner_alone(file):
    add_key(file, "branch")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    os.chmod(file, 0o640)  # whoever serves may be of a group
    add_key(file, "other")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_file_that_others_may_read_is_warned_of(file, caplog):
    add_key(file, "branch")
    Keys(file)
    assert not caplog.records
    os.chmod(file, 0o644)
    Keys(file)
    assert "chmod 600" in caplog.text


def test_keys_come_from_a_file_and_from_a_setting(file):
    (of_file, _), (of_setting, stored) = add_key(file, "branch"), make_key("portal")
    keys = keys_from(file, f" portal:{stored.hash} ,")
    assert len(keys) == 2
    assert [keys.caller(key.encode()) for key in (of_file, of_setting)] == ["branch", "portal"]
    assert keys_from(None, " ") is None


def test_a_name_has_one_key_unless_another_is_wanted(file):
    first, _ = add_key(file, "branch")
    with pytest.raises(ParameterError, match="branch has a key in force"):
        add_key(file, "branch")
    second, _ = add_key(file, "branch", another=True)
    keys = Keys(file)
    assert keys.caller(first.encode()) == keys.caller(second.encode()) == "branch"
    revoke_keys(file, first[3:15])  # by id: one of the two
    keys = Keys(file)
    assert [keys.caller(key.encode()) for key in (first, second)] == [None, "branch"]


def test_revoking_a_name_revokes_all_its_keys_and_keeps_them_on_record(file):
    held = [add_key(file, "branch", another=True)[0] for _ in range(2)]
    kept, _ = add_key(file, "portal")
    assert len(revoke_keys(file, "branch")) == 2
    keys = Keys(file)
    assert [keys.caller(key.encode()) for key in (*held, kept)] == [None, None, "portal"]
    assert [key.revoked is None for key in read_keys(file)] == [False, False, True]
    with pytest.raises(ParameterError, match=r"no key of 'branch' in force; in force are those of portal"):
        revoke_keys(file, "branch")


def test_a_key_that_the_file_revokes_is_revoked_in_the_setting_too(file):
    key, stored = add_key(file, "branch")
    revoke_keys(file, "branch")
    assert Keys(file, f"branch:{stored.hash}").caller(key.encode()) is None


@pytest.mark.parametrize("name", ["", "two words", "a,b", "a:b", "-a", "x" * 65, "new\nline"])
def test_a_name_that_a_log_or_the_setting_could_not_hold_is_refused(file, name):
    with pytest.raises(ParameterError, match="1 to 64 letters"):
        add_key(file, name)
    assert not file.exists()


def wrong_ones(key: str) -> list[str]:
    flipped = key[:-1] + ("0" if key[-1] != "0" else "1")
    other = make_key("x")[0]
    return [
        "", "x", flipped, key[:-1], key + "0", key.upper(), other, key[:16] + other[16:], other[:16] + key[16:],
        "xx" + key[2:], key[:15] + "-" + key[16:], "cr_" + "0" * 12 + "_" + "0" * 64, "-" * 80,
    ]  # fmt: skip


def test_what_is_not_exactly_the_key_is_no_key(file):
    key, _ = add_key(file, "branch")
    keys = Keys(file)
    assert [keys.caller(one.encode()) for one in wrong_ones(key)] == [None] * len(wrong_ones(key))
    assert keys.caller(None) is None


@given(st.binary(max_size=100))
def test_no_bytes_whatever_are_a_key_or_an_error(presented):
    assert Keys(None, f"a:{make_key('a')[1].hash}").caller(presented) is None


def test_a_word_hashed_by_hand_is_no_key():
    """Only what we have made is known to be random."""
    words = "correct-horse-battery-staple-".ljust(64, "x")
    digest = hashlib.sha256(words.encode()).hexdigest()
    assert Keys(None, f"a:{digest}").caller(f"cr_{digest[:12]}_{words}".encode()) is None


def test_none_wrong_and_revoked_keys_cost_the_same_work(file, monkeypatch):
    key, _ = add_key(file, "branch")
    revoked, _ = add_key(file, "gone")
    revoke_keys(file, "gone")
    keys = Keys(file)
    work = []
    sha256, compare = hashlib.sha256, hmac.compare_digest
    monkeypatch.setattr(access.hashlib, "sha256", lambda data: work.append(("hash", len(data))) or sha256(data))
    monkeypatch.setattr(
        access.hmac, "compare_digest", lambda a, b: work.append(("compare", len(a), len(b))) or compare(a, b)
    )
    for presented in (None, *map(str.encode, (*wrong_ones(key), revoked, key))):
        work.clear()
        keys.caller(presented)
        assert work == [("hash", 64), ("compare", 32, 32)], presented


def test_nothing_that_is_shown_of_keys_holds_a_hash(file):
    key, stored = add_key(file, "branch")
    assert stored.hash not in repr(stored)
    assert key[16:] not in repr(stored)


# ------------------------------------------------------------------------------------- the file changes


def test_revoking_works_within_a_second_and_without_a_restart(file, clock):
    key, _ = add_key(file, "branch")
    keys = Keys(file, clock=clock)
    revoke_keys(file, "branch")
    new, _ = add_key(file, "portal")
    assert keys.caller(key.encode()) == "branch"  # the file is looked at once a second, not for every request
    clock.now += 1
    assert keys.caller(key.encode()) is None
    assert keys.caller(new.encode()) == "portal"


def test_the_file_is_looked_at_once_a_second_at_most(file, clock, monkeypatch):
    add_key(file, "branch")
    keys = Keys(file, clock=clock)
    looks = []
    monkeypatch.setattr(keys, "_signature", lambda: looks.append(1) or keys._seen)
    for _ in range(100):
        clock.now += 0.0625
        keys.caller(None)
    assert len(looks) == 6


def test_a_file_that_is_gone_takes_its_keys_with_it_until_it_is_back(file, clock, caplog):
    key, _ = add_key(file, "branch")
    keys = Keys(file, clock=clock)
    text = file.read_text()
    file.unlink()
    for _ in range(3):
        clock.now += 1
        assert keys.caller(key.encode()) is None
    assert caplog.text.count("is gone") == 1
    file.write_text(text)
    clock.now += 1
    assert keys.caller(key.encode()) == "branch"


def test_a_mistake_in_the_file_leaves_the_keys_of_before_and_is_logged_once(file, clock, caplog):
    key, _ = add_key(file, "branch")
    keys = Keys(file, clock=clock)
    right = file.read_text()
    file.write_text(right + "{broken\n")
    for _ in range(3):
        clock.now += 1
        assert keys.caller(key.encode()) == "branch"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "line 2: not a JSON object" in caplog.text
    revoke_line = json.dumps(json.loads(right) | {"revoked": "2026-01-01"})
    file.write_text(revoke_line)
    clock.now += 1
    assert keys.caller(key.encode()) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ({"name": "two words"}, "name is missing or unfit"),
        ({"hash": "abc"}, "hash is missing"),
        ({"hash": "A" * 64}, "hash is missing"),
        ({"id": "000000000000"}, "id is not how the hash begins"),
        ({"revoked": False}, "revoked must be null or a date"),
        ({"revoked": ""}, "revoked must be null or a date"),
        ({"secret": "s3cret"}, "unknown key 'secret'"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line_and_without_a_hash(file, change, said):
    _, stored = add_key(file, "branch")
    line = change if isinstance(change, str) else json.dumps(json.loads(file.read_text()) | change)
    file.write_text(f"\n{line}\n")
    with pytest.raises(ParameterError, match=f"keys.jsonl, line 2: {said}") as caught:
        Keys(file)
    assert stored.hash[12:] not in str(caught.value) and "s3cret" not in str(caught.value)


def test_the_same_key_twice_in_a_file_is_a_mistake(file):
    add_key(file, "branch")
    file.write_text(file.read_text() * 2)
    with pytest.raises(ParameterError, match=r"line 2: the key with id \w+ is there twice"):
        Keys(file)


def test_a_file_that_was_never_there_stops_the_start(file):
    with pytest.raises(ParameterError, match="no such file of keys; `creditrisk keys add NAME` makes it"):
        Keys(file)


def test_a_key_in_the_place_of_its_hash_is_refused_and_not_quoted():
    key, stored = make_key("branch")
    with pytest.raises(ParameterError, match="item 2: write name:hash.*looks like a key itself") as caught:
        listed_keys(f"portal:{stored.hash},branch:{key}")
    assert key[16:] not in str(caught.value)
    with pytest.raises(ParameterError, match="item 1"):
        listed_keys(stored.hash)


def test_keys_added_at_the_same_time_are_all_kept(file):
    code = "import sys; from pathlib import Path; from creditrisk.serving.access import add_key\n"
    code += "for n in range(5): add_key(Path(sys.argv[1]), f'{sys.argv[2]}.{n}')"
    added = [subprocess.Popen([sys.executable, "-c", code, str(file), f"p{n}"]) for n in range(3)]
    assert [process.wait() for process in added] == [0, 0, 0]
    assert len(read_keys(file)) == 15


# ------------------------------------------------------------------------------------- with keys and without


def test_no_key_wrong_key_and_revoked_key_get_the_same_401_everywhere_but_at_health(file):
    key, _ = add_key(file, "branch")
    revoked, _ = add_key(file, "gone")
    revoke_keys(file, "gone")
    caller = client(Keys(file))
    answers = [
        caller.get(path, headers=headers)
        for path in ("/who", "/absent", "/health/", "/openapi.json", "/fails")
        for headers in ({}, *({"X-API-Key": one} for one in wrong_ones(key)), bearer(revoked), {"Authorization": key})
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert caller.get("/health").status_code == 200
    assert caller.get("/who", headers=bearer(key)).json() == "branch"


def test_a_key_may_come_in_either_header_and_beside_the_password_of_a_proxy(file):
    key, _ = add_key(file, "branch")
    caller = client(Keys(file))
    for headers in (
        bearer(key), {"authorization": f"bearer  {key} "}, {"X-API-Key": key},
        {"X-API-Key": key, "Authorization": "Basic dTpw"},
    ):  # fmt: skip
        assert caller.get("/who", headers=headers).json() == "branch", headers


def test_without_keys_everybody_may_call_and_nobody_has_a_name():
    assert client().get("/who").json() is None


@pytest.mark.parametrize("name", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_an_open_api_answers_to_the_names_of_this_computer(name):
    assert client(hosts=LOOPBACK_NAMES).get("/who", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8000", "localhost.evil.example", "[::2]", ""])
def test_an_open_api_refuses_a_page_that_has_rebound_its_own_name_to_this_computer(name):
    assert client(hosts=LOOPBACK_NAMES).get("/who", headers={"Host": name}).status_code == 403


def test_with_keys_the_name_of_the_host_does_not_matter(file):
    key, _ = add_key(file, "branch")
    caller = client(Keys(file), hosts=LOOPBACK_NAMES)
    assert caller.get("/who", headers=bearer(key) | {"Host": "api.example"}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_without_keys_loopback_is_open_and_the_sentence_says_so(host):
    assert "open to everybody on this computer" in require_keys_or_loopback(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "api.example", "localhost.example"])
def test_without_keys_nothing_but_loopback_may_be_listened_on(file, host):
    assert not is_loopback(host)
    with pytest.raises(ParameterError, match="without a key; make a key"):
        require_keys_or_loopback(host, None)
    add_key(file, "branch")
    assert require_keys_or_loopback(host, Keys(file)) == "one API key may call"
    add_key(file, "portal")
    assert "one of 2 API keys" in require_keys_or_loopback(host, Keys(file))
    revoke_keys(file, "branch"), revoke_keys(file, "portal")
    assert "nobody may call" in require_keys_or_loopback(host, Keys(file))  # closed, not open


def test_a_websocket_is_closed_and_the_start_and_stop_of_the_application_pass():
    seen, sent = [], []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    async def send(message):
        sent.append(message)

    for kind in ("websocket", "lifespan"):
        run_alone(Access(app)({"type": kind}, None, send))
    assert seen == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_every_answer_carries_the_security_headers_whatever_it_is(file):
    key, _ = add_key(file, "branch")
    caller = client(Keys(file), RateLimit(0.001, 4))
    answers = [caller.get("/health"), caller.get("/who")]
    answers += [caller.get(path, headers=bearer(key)) for path in ("/who", "/absent", "/fails", "/who", "/who")]
    assert [answer.status_code for answer in answers] == [200, 401, 200, 404, 500, 200, 429]
    for answer in answers:
        assert set(SECURITY_HEADERS) <= {(name.lower(), value) for name, value in answer.headers.raw}


def test_headers_of_an_answer_that_is_sent_again_and_again_do_not_pile_up():
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]}
    sent = []

    async def app(scope, receive, send):
        await send(start)

    async def send(message):
        sent.append(message)

    for _ in range(2):
        run_alone(Access(app)({"type": "http", "path": "/", "headers": []}, None, send))
    assert start["headers"] == [(b"x-own", b"1")]
    assert len(sent[0]["headers"]) == len(sent[1]["headers"]) == 1 + len(SECURITY_HEADERS)


# ------------------------------------------------------------------------------------- the rate limit


def test_a_burst_may_come_at_once_and_then_so_many_a_second(clock):
    limit = RateLimit(rate=2, burst=3, clock=clock)
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 0]
    assert limit.wait("a") == pytest.approx(0.5)
    assert limit.wait("b") == 0  # another caller has a bucket of his own
    clock.now += 0.5
    assert limit.wait("a") == 0
    assert limit.wait("a") > 0
    clock.now += 100
    assert [limit.wait("a") == 0 for _ in range(4)] == [True, True, True, False]


@given(
    st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 5), min_size=1, max_size=200), st.floats(0.5, 20)
)  # fmt: skip
def test_no_pattern_of_requests_gets_more_than_the_burst_and_the_rate(rate, burst, gaps, window):
    clock = Clock()
    limit = RateLimit(rate, burst, clock=clock)
    let_in = []
    for gap in gaps:
        clock.now += gap / 10
        if limit.wait("a") == 0:
            let_in.append(clock.now)
    for begin in let_in:
        within = sum(begin <= at <= begin + window for at in let_in)
        assert within <= burst + rate * window + 1e-6


def test_who_waits_as_long_as_he_is_told_is_let_in(clock):
    limit = RateLimit(rate=3, burst=1, clock=clock)
    assert limit.wait("a") == 0
    for _ in range(1000):
        clock.now += limit.wait("a")
        assert limit.wait("a") == 0


def test_a_refused_request_costs_nothing(clock):
    limit = RateLimit(rate=1, burst=1, clock=clock)
    limit.wait("a")
    waits = {limit.wait("a") for _ in range(100)}
    assert waits == {1.0}


def test_the_memory_of_the_limit_is_bounded_and_the_busy_stay_limited(clock):
    limit = RateLimit(rate=1, burst=1, most=100, clock=clock)
    for n in range(1000):
        clock.now += 0.0001
        limit.wait("busy")
        if n % 50 == 0:
            limit.wait(f"caller {n}")
    for n in range(99):
        limit.wait(f"crowd {n}")
    assert len(limit._full_at) == 100
    assert limit.wait("crowd 98") > 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_a_limit_that_makes_no_sense_is_refused(rate, burst):
    with pytest.raises(ParameterError, match="must be"):
        RateLimit(rate, burst)


def test_too_many_requests_of_a_key_are_429_and_those_of_others_and_of_health_are_not(file):
    first, second = add_key(file, "branch")[0], add_key(file, "portal")[0]
    caller = client(Keys(file), RateLimit(0.01, 2))
    statuses = [caller.get("/who", headers=bearer(first)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = caller.get("/who", headers=bearer(first))
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    assert caller.get("/who", headers=bearer(second)).status_code == 200
    assert {caller.get("/health").status_code for _ in range(5)} == {200}
    assert {caller.get("/who").status_code for _ in range(5)} == {401}


def test_an_open_api_limits_by_address():
    app = Access(api(), limit=RateLimit(0.01, 1))
    one, other = (TestClient(app, client=(address, 5)) for address in ("127.0.0.1", "127.0.0.2"))
    assert [one.get("/who").status_code, one.get("/who").status_code, other.get("/who").status_code] == [200, 429, 200]


# ------------------------------------------------------------------------------------- what is said


def test_the_description_of_the_api_says_what_may_be_answered_without_a_key():
    document = described(api().openapi(), keys=True, limited=True)
    who, health = document["paths"]["/who"]["get"], document["paths"]["/health"]["get"]
    assert {"401", "429"} <= set(who["responses"]) and "security" in who
    assert not {"401", "429"} & set(health["responses"]) and "security" not in health
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    bare = described(api().openapi(), keys=False, limited=False)
    for operations in bare["paths"].values():
        assert operations["get"]["responses"].pop("403")  # an API without keys insists on being asked as loopback
    assert bare == api().openapi()


def test_no_key_is_ever_logged(file, clock, caplog):
    caplog.set_level(logging.DEBUG)
    key, stored = add_key(file, "branch")
    caller = client(Keys(file, clock=clock), RateLimit(1, 1))
    for headers in (bearer(key), bearer(key), bearer(key[:-1] + "x"), {}):
        caller.get("/who", headers=headers)
    file.write_text("{")
    clock.now += 2
    caller.get("/who", headers=bearer(key))
    assert key[16:] not in caplog.text and stored.hash not in caplog.text


# ------------------------------------------------------------------------------------- the command line


@pytest.fixture
def run(capsys):
    import argparse

    from creditrisk.key_commands import add_key_commands

    def run(*words: str) -> tuple[str, str]:
        parser = argparse.ArgumentParser()
        add_key_commands(parser.add_subparsers(required=True))
        arguments = parser.parse_args(words)
        assert arguments.command(arguments) == 0
        return capsys.readouterr()

    return run


def test_a_key_is_printed_once_alone_on_the_output_and_works_from_file_and_setting(run, file):
    out, said = run("keys", "add", "branch", "--file", str(file))
    key = out.strip()
    assert Keys(file).caller(key.encode()) == "branch"
    assert key[16:] not in said
    setting = re.search(r"CREDITRISK_KEYS=(\S+)", said)[1]
    assert Keys(None, setting).caller(key.encode()) == "branch"
    out, _ = run("keys", "list", "--file", str(file))
    assert key[3:15] in out and "branch" in out
    assert key[16:] not in out and setting.partition(":")[2] not in out


def test_a_revoked_key_is_listed_with_when(run, file):
    run("keys", "add", "branch", "--file", str(file))
    out, _ = run("keys", "revoke", "branch", "--file", str(file))
    assert out.startswith("revoked: branch, ")
    out, _ = run("keys", "list", "--file", str(file))
    assert re.search(r"^branch +\w{12} +\S+ +\d{4}-\d\d-\d\dT", out, re.MULTILINE)


def test_a_command_without_a_file_says_how_to_name_one(run, monkeypatch, settings_in):
    with pytest.raises(ParameterError, match="--file keys.jsonl"):
        run("keys", "add", "branch")
