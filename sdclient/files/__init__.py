"""Durable writes, the commit of a directory, rows of a log: every change a shared folder sees.

What holds here holds on local disks and on the network shares people have, between machines whose clocks differ:

* a file is whole or absent (`write_durable`, `write_new_file`, `create_whole`);
* a name is won once (`create_exclusive`, `commit_directory`);
* nothing foreign is replaced (`publish`, `resolve_inside`);
* a row of a log is one line, and a cut log is a shorter one (`RowLog`, `read_rows`).

Every failure is a `StorageError` whose `__cause__` is the system's own error; `is_storage_trouble` tells whether it
is the kind that passes.
"""

from __future__ import annotations

from sdclient.files.commands import command_line
from sdclient.files.durable import (
    create_exclusive,
    create_whole,
    fsync_dir,
    fsync_file,
    write_durable,
    write_new_file,
)
from sdclient.files.moves import CommitOutcome, PublishOutcome, commit_directory, publish
from sdclient.files.names import MAX_NAME_BYTES, find_spelled, names_drive, resolve_inside, safe_name
from sdclient.files.probe import FolderFacts, probe_folder
from sdclient.files.rows import MAX_CELL_CHARS, RowLog, format_row, format_rows, one_line, original_cell, read_rows
from sdclient.files.temporary import TEMPORARY_PREFIX, is_abandoned, temporary_name
from sdclient.files.trouble import is_storage_trouble, is_too_long, storage_error, storage_errors

__all__ = [
    "MAX_CELL_CHARS",
    "MAX_NAME_BYTES",
    "TEMPORARY_PREFIX",
    "CommitOutcome",
    "FolderFacts",
    "PublishOutcome",
    "RowLog",
    "command_line",
    "commit_directory",
    "create_exclusive",
    "create_whole",
    "find_spelled",
    "format_row",
    "format_rows",
    "fsync_dir",
    "fsync_file",
    "is_abandoned",
    "is_storage_trouble",
    "is_too_long",
    "names_drive",
    "one_line",
    "original_cell",
    "probe_folder",
    "publish",
    "read_rows",
    "resolve_inside",
    "safe_name",
    "storage_error",
    "storage_errors",
    "temporary_name",
    "write_durable",
    "write_new_file",
]
