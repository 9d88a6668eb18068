"""Results per photograph, eye and patient from a table of predictions."""
