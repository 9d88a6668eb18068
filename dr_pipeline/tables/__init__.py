"""The tables: one module each, with the row as a frozen dataclass, its reader, its writer and its version."""
