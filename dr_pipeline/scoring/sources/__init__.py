"""Where photographs come from: folders, files, lists, archives and object stores, one entry per input."""
