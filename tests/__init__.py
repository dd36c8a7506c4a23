"""Tests, in folders named as the packages of harness/."""
