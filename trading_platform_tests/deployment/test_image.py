"""The Dockerfile: what it copies is there, what it promises is in it."""

from __future__ import annotations

import fnmatch
import re

from trading_platform_tests.deployment.compose_file import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def copied_paths() -> set[str]:
    copies = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {path for copy in copies for path in copy.split()[:-1]}


def test_everything_that_is_copied_exists_and_is_in_the_build_context() -> None:
    allowed = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in copied_paths():
        assert (REPOSITORY / path).exists(), path
        assert any(path == name or fnmatch.fnmatch(path, f"{name}/*") for name in allowed), path


def test_the_build_context_begins_empty_so_that_no_secret_gets_in() -> None:
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert not any(".env" in rule for rule in rules)


def test_it_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["platform"]


def test_exact_versions_are_installed() -> None:
    installs = re.findall(r"pip install (.+)$", DOCKERFILE, re.MULTILINE)
    assert installs == ["-c constraints.txt .", "--no-deps --force-reinstall ."]


def test_its_python_is_a_pinned_minor_version_that_the_package_supports() -> None:
    version = re.search(r"^ARG PYTHON_VERSION=3\.(\d+)$", DOCKERFILE, re.MULTILINE)
    assert version is not None
    supported = re.search(
        r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', (REPOSITORY / "pyproject.toml").read_text(), re.M
    )
    assert supported is not None
    low, high = (int(number) for number in supported.groups())
    assert low <= int(version.group(1)) < high
    assert all("slim" in image for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
