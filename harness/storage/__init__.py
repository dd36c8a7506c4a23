"""What is kept on disk: journals, whole files, answers, thumbnails, throughput."""

from __future__ import annotations

from harness.storage.answers import Store
from harness.storage.journal import (
    Journal,
    cannot_write,
    disk_is_full,
    files_digest,
    folder_digest,
    journal_of,
    lines_of,
    locked,
    read_journal,
    write_json,
    write_whole,
)
from harness.storage.throughput import Throughput, note_throughput, read_throughputs
from harness.storage.thumbnails import image_folder, save_thumbnail

__all__ = [
    "Journal",
    "Store",
    "Throughput",
    "cannot_write",
    "disk_is_full",
    "files_digest",
    "folder_digest",
    "image_folder",
    "journal_of",
    "lines_of",
    "locked",
    "note_throughput",
    "read_journal",
    "read_throughputs",
    "save_thumbnail",
    "write_json",
    "write_whole",
]
