"""One file per benchmark; each holds a BENCHMARK that an entry point names."""
