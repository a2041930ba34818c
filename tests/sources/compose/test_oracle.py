"""Interpolation beside podman-compose's, which runs in an environment of its own."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.harness.venvs import environment
from tests.sources.compose.test_interpolation import CASES, SET

_ASK = """
import json, sys
import podman_compose
asked = json.load(sys.stdin)
answers = []
for text in asked["texts"]:
    try:
        answers.append(podman_compose.rec_subs(text, asked["set"]))
    except (RuntimeError, ValueError):
        answers.append(None)
json.dump(answers, sys.stdout)
"""


@pytest.mark.conformance
def test_podman_compose_interpolates_the_same():
    python = environment("podman-compose", "podman-compose==1.6.0")
    asked = json.dumps({"texts": [text for text, _ in CASES], "set": SET})
    answered = subprocess.run(
        [python, "-c", _ASK], input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    answers = zip((text for text, _ in CASES), json.loads(answered.stdout), strict=True)
    assert dict(answers) == dict(CASES)
