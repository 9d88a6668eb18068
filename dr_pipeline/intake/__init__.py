"""From a data set's own layout to the manifest, and the audit of what came in."""
