"""kdbench in other people's tests: a fixture for pytest."""
