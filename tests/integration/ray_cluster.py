"""Three Ray nodes on loopback with simulated servers, and what is done to them: run inside a network namespace.

``python -m tests.integration.ray_cluster SCENARIO FOLDER`` prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
import ray
from PIL import Image, ImageDraw
from ray.cluster_utils import Cluster

from sdclient.batch.folder import RunFolder
from sdclient.batch.status import read_status
from sdclient.batch.worker import WorkerSettings
from sdclient.engines.cluster import ClusterEngine
from sdclient.nodes import ClusterSettings, cluster_posts, share_run
from sdclient.run import Run
from sdclient.schemas.config import ServerConfig
from sdclient.simulator import Simulator

JOBS = 24
DELAY_S = 0.25
# A node takes some seconds to join, and the run must not be over by then; a server that goes is to be in the middle of
# an image when it does.
SLOW_DELAY_S = 1.5
DEADLINE_S = 150.0
HALF = 0.5
NAMES = ("one", "two", "three")
PICTURES = 12
_MOST_SAID = 20_000
# Nobody owns it here: the network has no way out.
PUBLIC_ADDRESS = "9.9.9.9"


@dataclass
class Stage:
    """A cluster, its servers, and a run to lead."""

    folder: Path
    servers: Sequence[Simulator]
    cluster: Cluster
    nodes: dict[str, object]
    address: str

    @property
    def out(self) -> Path:
        return self.folder / "OUT"

    def lead(self, before: Sequence[str] = (), more: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start the command that leads the run; ``before`` is put before it, ``more`` are options."""
        small = ["--set", "width=64", "--set", "height=64", "--set", "steps=1"]
        return self.command(["generate", "prompts.csv", "--set", "inherit=true", "--out", "OUT", *small, *more], before)

    def command(self, words: Sequence[str], before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a command that leads a run on this cluster."""
        engine = ["--engine", "ray", "--address", self.address]
        return subprocess.Popen(
            [*before, sys.executable, "-m", "sdclient", *words, *engine, "--json"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def done(self) -> int:
        with suppress(Exception):
            return read_status(RunFolder.open(self.out)).counts.done
        return 0

    def wait_for(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {DEADLINE_S:g} s")
            time.sleep(0.1)

    def keepers(self) -> list[psutil.Process]:
        """The processes of the actors; those of other tests run in other networks."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter(["cmdline"]):
            title = " ".join(process.info["cmdline"] or [])
            if title.startswith("ray::NodeKeeper") and _network(process.pid) == _network(os.getpid()):
                found.append(process)
        return found


def _network(pid: int) -> str:
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""


def actor_killed(stage: Stage) -> Mapping[str, object]:
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 4)
    victim = stage.keepers()[0]
    victim.send_signal(signal.SIGKILL)
    return _finish(leader)


def node_killed(stage: Stage) -> Mapping[str, object]:
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 4)
    stage.cluster.remove_node(stage.nodes["three"], allow_graceful=False)
    return _finish(leader)


def folder_moved(stage: Stage) -> Mapping[str, object]:
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 4)
    stage.out.rename(stage.folder / "AWAY")
    leader.send_signal(signal.SIGTERM)
    return _finish(leader)


def folder_replaced(stage: Stage) -> Mapping[str, object]:
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 4)
    stage.out.rename(stage.folder / "AWAY")
    RunFolder.create(stage.out)
    return _finish(leader)


def node_added(stage: Stage) -> Mapping[str, object]:
    stage.cluster.remove_node(stage.nodes["three"], allow_graceful=True)
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 2)
    stage.cluster.add_node(num_cpus=1, resources={"sdapi:three": 1})
    return _finish(leader)


def driver_killed(stage: Stage) -> Mapping[str, object]:
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 4)
    leader.kill()
    leader.wait()
    at_the_kill = stage.done()
    stage.wait_for("actors gone with their driver", lambda: not stage.keepers())
    again = _finish(stage.lead())
    return {**again, "at_the_kill": at_the_kill}


def _drawn(server: Simulator) -> float:
    """Return how much of its image a server has drawn; 0 where it draws none."""
    with urlopen(f"{server.url}/sdapi/v1/progress") as reply:
        return float(json.load(reply)["progress"])


def server_gone(stage: Stage) -> Mapping[str, object]:
    leader = stage.lead()
    stage.wait_for("some jobs done", lambda: stage.done() >= 4)
    stage.wait_for("the third server draws", lambda: 0 < _drawn(stage.servers[2]) < HALF)
    stage.servers[2].stop()
    return _finish(leader)


def two_drivers(stage: Stage) -> Mapping[str, object]:
    """Two people type the same command at once, and one of them presses Ctrl-C when it has just ended."""
    first, second = (stage.lead(more=["--url", name]) for name in ("one", "three"))
    both = [_finish(leader) for leader in (first, second)]
    run = Run.open(stage.out)
    server = ServerConfig("one", stage.servers[0].url)
    posts = cluster_posts(run, [server], share_run(run, WorkerSettings()), ClusterSettings())
    engine = ClusterEngine(run.folder, posts, address=stage.address)
    engine.run()
    engine.stop()
    return {**both[0], "second": both[1], "is_connected": ray.is_initialized()}


def two_at_odds(stage: Stage) -> Mapping[str, object]:
    """Two people begin one run at once with different settings: one of them comes too late."""
    both = [_finish(leader) for leader in [stage.lead(more=["--set", f"cfg_scale={scale}"]) for scale in (5, 7)]]
    first, second = sorted(both, key=lambda ended: int(str(ended["code"])))
    return {**first, "second": second}


def cut_on_a_gpu(stage: Stage) -> Mapping[str, object]:
    """Two segmenters share what one node says is a GPU; nothing here needs a real one."""
    _paint(stage.folder / "IN")
    words = ["segment", "IN", "OUT", "--model", "classical", "--segmenters", "2", "--gpu-share", "0.5"]
    leader = stage.command(words)
    # Only a cluster without a GPU is told what is missing.
    stage.wait_for("the run written", (stage.out / ".sdclient" / "run.json").exists)
    time.sleep(1)
    before = stage.done()
    stage.cluster.add_node(num_cpus=0, num_gpus=1)
    return {**_finish(leader), "without_gpu": before}


def drawn_then_cut(stage: Stage) -> Mapping[str, object]:
    """The segmenter needs nobody's answer before it begins, and finds nothing drawn and nobody who draws."""
    _paint(stage.folder / "IN")
    words = ["upscale", "IN", "OUT", "--payload", "bake", "--set", "steps=1"]
    return _finish(stage.command([*words, "--then", "segment", "--cutouts-model", "classical"]))


def _paint(folder: Path) -> None:
    folder.mkdir()
    for number in range(PICTURES):
        picture = Image.new("RGB", (512, 384), "white")
        ImageDraw.Draw(picture).ellipse((40 + number, 60, 300 + number, 320), fill="navy")
        picture.save(folder / f"{number:02d}.png")


def public_address(stage: Stage) -> Mapping[str, object]:
    subprocess.run(["ip", "address", "add", f"{PUBLIC_ADDRESS}/32", "dev", "lo"], check=True)
    stage.cluster.add_node(num_cpus=1, node_ip_address=PUBLIC_ADDRESS)
    return _finish(stage.lead())


def folder_not_shared(stage: Stage) -> Mapping[str, object]:
    """The nodes see nothing where the leader has its folder: a mount that only the leader sees plays the share."""
    hidden = 'mount -t tmpfs none "$1/private" && cd "$1/private" && cp ../prompts.csv ../sdclient.toml . && shift && exec "$@"'
    (stage.folder / "private").mkdir()
    leader = stage.lead(before=["unshare", "-m", "sh", "-c", hidden, "sh", str(stage.folder)])
    return _finish(leader)


def nobody_offers(stage: Stage) -> Mapping[str, object]:
    for name in NAMES:
        stage.cluster.remove_node(stage.nodes[name], allow_graceful=True)
    stage.cluster.add_node(num_cpus=1)
    return {**_finish(stage.lead()), "address": stage.address}


def losses_told(stage: Stage) -> Mapping[str, object]:
    return _finish(stage.lead(more=["--set", "shift=3"]))


def refused_then_corrected(stage: Stage) -> Mapping[str, object]:
    refused = _finish(stage.lead(more=["--set", "shift=3", "--strict"]))
    is_left = stage.out.exists()
    return {**_finish(stage.lead()), "refused": refused, "is_left": is_left}


def _finish(leader: subprocess.Popen[str]) -> Mapping[str, object]:
    text, _ = leader.communicate(timeout=DEADLINE_S)
    return {"code": leader.returncode, "said": text[-_MOST_SAID:]}


SCENARIOS: Mapping[str, Callable[[Stage], Mapping[str, object]]] = {
    one.__name__: one
    for one in (
        actor_killed,
        node_killed,
        node_added,
        folder_moved,
        folder_replaced,
        driver_killed,
        server_gone,
        two_drivers,
        two_at_odds,
        cut_on_a_gpu,
        drawn_then_cut,
        public_address,
        folder_not_shared,
        nobody_offers,
        losses_told,
        refused_then_corrected,
    )
}


def main(scenario: str, folder: Path) -> None:
    """Play a scenario and print what came of it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    (folder / "prompts.csv").write_text("prompt\n" + "".join(f"fox {number}\n" for number in range(JOBS)))
    delay_s = SLOW_DELAY_S if scenario in ("node_added", "server_gone") else DELAY_S
    servers = [Simulator("a1111", delay_s=delay_s) for _ in NAMES]
    with servers[0], servers[1], servers[2]:
        lines = [f'[servers.{name}]\nurl = "{server.url}"\n' for name, server in zip(NAMES, servers, strict=True)]
        (folder / "sdclient.toml").write_text("".join(lines), encoding="utf-8")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes = {name: cluster.add_node(num_cpus=1, resources={f"sdapi:{name}": 1}) for name in NAMES}
        try:
            came = SCENARIOS[scenario](Stage(folder, servers, cluster, nodes, cluster.address))
        finally:
            cluster.shutdown()
        posts = [sum(one.path.endswith("txt2img") for one in server.log) for server in servers]
    sys.stdout.write(json.dumps({**came, "posts": posts}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
