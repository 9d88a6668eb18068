"""Complete, commented parameter files, one per kind of data set."""
