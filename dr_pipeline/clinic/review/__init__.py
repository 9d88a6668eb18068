"""The review page of a batch: a folder that opens from disk, in which a person reads the photographs."""
