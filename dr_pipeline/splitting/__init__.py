"""Assignment of groups to test, validation and training, and the checks that nothing leaks."""
