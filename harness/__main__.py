"""Runs the command line: python -m harness."""

from harness.cli import main
from harness.model import end_with_parent

end_with_parent()
main()
