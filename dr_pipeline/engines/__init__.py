"""Where the work on many files is done: in this process, in worker processes of this machine."""
