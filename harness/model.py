"""The model a method and a benchmark ask: see Model."""
