"""What is kept on disk: journals, files, manifests, memos, answers, thumbnails, throughput."""

from __future__ import annotations

from harness.storage.answers import Store
from harness.storage.journal import (
    InUseError,
    Journal,
    Seal,
    cannot_write,
    digest_of,
    disk_is_full,
    file_digest,
    files_digest,
    folder_digest,
    header_of,
    journal_of,
    lines_of,
    locked,
    read_journal,
    seal_of,
    sealed,
    write_json,
    write_whole,
)
from harness.storage.looks import Look, Looks, note_look
from harness.storage.manifest import (
    MANIFEST,
    changed_records,
    entries_in,
    entry_of,
    manifest_text,
    reopen,
    write_manifest,
)
from harness.storage.memo import Memo, memos_in
from harness.storage.reading import (
    check_depth,
    open_regular,
    parse_json,
    parse_yaml,
    read_bytes,
    read_header,
    read_json,
    read_text,
)
from harness.storage.run_record import RunRecord
from harness.storage.secrets import KEY, is_secret, without_keys
from harness.storage.segments import Segments, compact, open_store, spread
from harness.storage.throughput import Throughput, note_throughput, read_throughputs
from harness.storage.thumbnails import image_folder, reduced, save_thumbnail, thumbnail_in

__all__ = [
    "KEY",
    "MANIFEST",
    "InUseError",
    "Journal",
    "Look",
    "Looks",
    "Memo",
    "RunRecord",
    "Seal",
    "Segments",
    "Store",
    "Throughput",
    "cannot_write",
    "changed_records",
    "check_depth",
    "compact",
    "digest_of",
    "disk_is_full",
    "entries_in",
    "entry_of",
    "file_digest",
    "files_digest",
    "folder_digest",
    "header_of",
    "image_folder",
    "is_secret",
    "journal_of",
    "lines_of",
    "locked",
    "manifest_text",
    "memos_in",
    "note_look",
    "note_throughput",
    "open_regular",
    "open_store",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_header",
    "read_journal",
    "read_json",
    "read_text",
    "read_throughputs",
    "reduced",
    "reopen",
    "save_thumbnail",
    "seal_of",
    "sealed",
    "spread",
    "thumbnail_in",
    "without_keys",
    "write_json",
    "write_manifest",
    "write_whole",
]
