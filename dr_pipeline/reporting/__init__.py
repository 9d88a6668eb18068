"""HTML pages and plots for every room; no statistics."""
