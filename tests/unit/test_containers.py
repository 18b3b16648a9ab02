"""Dockerfile and compose file agree with the project: commands, files, services; no secret in them."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path

import pytest
import yaml

from creditrisk.cli import _parser

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
STEPS = re.sub(r"\\\n", " ", DOCKERFILE).splitlines()


def steps(instruction: str) -> list[str]:
    return [line.removeprefix(instruction).strip() for line in STEPS if line.startswith(f"{instruction} ")]


def commands() -> dict[str, list[str]]:
    ours = {name: service["command"] for name, service in SERVICES.items() if service["image"] == "creditrisk"}
    return ours | {"Dockerfile": json.loads(steps("CMD")[-1])}


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_command_of_a_service_is_one_that_exists_with_these_options(name, capsys):
    try:
        _parser().parse_args(commands()[name])
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_what_listens_beyond_its_container_needs_keys():
    for command in commands().values():
        if command[0] == "serve":
            assert "--keys" in command


def test_base_images_are_named_plainly_and_with_a_version():
    images = [line.split()[0] for line in steps("FROM")] + [SERVICES["database"]["image"]]
    assert set(images) == {"python:3.11-slim", "postgres:15"}


def test_the_image_runs_as_an_ordinary_user_with_a_health_check():
    assert steps("USER") == ["creditrisk"]
    assert STEPS.index("USER creditrisk") > max(n for n, line in enumerate(STEPS) if line.startswith("RUN"))
    assert "/health" in DOCKERFILE and "HEALTHCHECK" in DOCKERFILE
    assert json.loads(steps("ENTRYPOINT")[-1]) == ["creditrisk"]


def test_what_the_image_copies_exists_and_is_not_ignored():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [name for line in steps("COPY") if "--from" not in line for name in line.split()[:-1]]
    assert sorted(copied) == sorted(allowed)
    assert all((ROOT / name).exists() for name in copied)


def test_secrets_and_evidence_stay_out_of_the_image():
    lines = (ROOT / ".dockerignore").read_text().split()
    assert "*" in lines  # all is left out but what is named
    hidden = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    for name in (".env", "keys.jsonl"):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in hidden)


def test_services_wait_for_services_that_exist_and_can_say_that_they_are_ready():
    for service in SERVICES.values():
        for other in service.get("depends_on", {}):
            assert "healthcheck" in SERVICES[other] or SERVICES[other]["image"] == "creditrisk"


def test_every_volume_is_declared_and_state_is_in_volumes():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert used == set(COMPOSE["volumes"])
    declared = json.loads(steps("VOLUME")[0])
    mounted = {volume.split(":")[1] for volume in SERVICES["api"]["volumes"]}
    assert mounted == set(declared)


def test_no_secret_is_in_the_compose_file():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEYS?$", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
            assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{name} holds a password"


def test_ports_are_published_on_this_computer_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
