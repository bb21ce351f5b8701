"""`sdclient simulate` as another process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner

from sdclient.cli.simulate import command
from sdclient.simulator import DIALECTS, FAULTS


def test_help_lists_every_dialect_and_every_fault() -> None:
    text = CliRunner().invoke(command, ["--help"], terminal_width=200).output

    assert all(name in text for name in DIALECTS)
    assert all(f"{name} " in text and line in text for name, line in FAULTS.items())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--auth", "nobody"], "write it as user:password"),
        (["--fault", "fire"], "no fault 'fire'"),
        (["--fault", "reset:p=9"], "makes no sense"),
        (["--server-version", "3"], "no version '3' of a1111"),
        (["--dialect", "drawthings", "--auth", "a:b"], "no authentication"),
        (["--option", "steps"], "write it as KEY=VALUE"),
        (["--dialect", "drawthings", "--option", "nobody=1"], "no setting nobody"),
        (["--dialect", "drawthings", "--option", "sampler=euler"], "not one of"),
    ],
    ids=str,
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(command, arguments)

    assert result.exit_code == 2
    assert text in result.output


def test_it_serves_with_faults_until_it_is_interrupted() -> None:
    arguments = ["simulate", "--port", "0", "--json", "--fault", "busy:n=1", "--dialect", "koboldcpp", "--prerendered"]
    with subprocess.Popen(
        [sys.executable, "-m", "sdclient", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        request = urllib.request.Request(told["url"] + "/sdapi/v1/txt2img", b'{"width": 64, "height": 64}')
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        refused.value.close()
        with urllib.request.urlopen(request, timeout=60) as reply:
            made = json.load(reply)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert told["simulated"] == "koboldcpp"
    assert refused.value.code == 503
    assert made["images"][0]
    assert process.returncode in {0, 130}
