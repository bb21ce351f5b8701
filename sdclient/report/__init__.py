"""What people look at after a run, or during it: the HTML page, its tables and plots, grids, and the live server."""

from __future__ import annotations

from sdclient.report.collect import make_report, read_run
from sdclient.report.grid import Grid, make_grid, parse_grid, write_grid
from sdclient.report.model import RunReport
from sdclient.report.serve import PageServer
from sdclient.report.write import ReportOptions, Written, write_report

__all__ = [
    "Grid",
    "PageServer",
    "ReportOptions",
    "RunReport",
    "Written",
    "make_grid",
    "make_report",
    "parse_grid",
    "read_run",
    "write_grid",
    "write_report",
]
