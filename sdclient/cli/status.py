"""``sdclient status``: say where a run stands."""

from __future__ import annotations

from pathlib import Path

import click

from sdclient.batch.folder import RunFolder
from sdclient.batch.glance import Glance, glance
from sdclient.batch.log import OnImages, write_views
from sdclient.batch.otherwise import Otherwise, find_otherwise
from sdclient.batch.status import read_status
from sdclient.cli.talk import emit, say, table


@click.command(epilog="Example:  sdclient status OUT --json")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(out: Path, *, as_json: bool) -> None:
    """Say where the run in OUT stands; works while it runs, from any machine that sees the folder."""
    folder = RunFolder.open(out)
    status = read_status(folder)
    seen: list[Glance | Otherwise] = []
    for text in _write_views(folder, lambda rows: seen.extend((glance(folder, rows), find_otherwise(folder, rows)))):
        say(f"note: {text}")
    if as_json:
        emit({**status.to_json(), **{name: value for one in seen for name, value in one.to_json().items()}})
        return
    counts = status.counts.to_json()
    click.echo(table([(name.replace("_", " "), str(number)) for name, number in counts.items()], indent=""))
    for worker in status.workers:
        click.echo(f"worker {worker.worker} {worker.label}{' (gone)' if worker.is_gone else ''}".rstrip())
    for text in filter(None, (one.words(out) for one in seen)):
        say(f"note: {text}")
    for place, why in status.set_aside.items():
        click.echo(f"set aside: {place}: {why}")


def _write_views(folder: RunFolder, on_images: OnImages) -> list[str]:
    """Do what `Run.write_views` does; `Run` and its servers take longer to load than the run to be read."""
    problems = write_views(folder, on_images)
    if any(job.kind == "segment" for job in folder.read_plan().jobs.values()):
        from sdclient.steps.objects import write_object_views

        problems += write_object_views(folder)
    return problems
