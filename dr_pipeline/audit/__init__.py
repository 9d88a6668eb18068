"""The audit: what is wrong with a data set before anything is learnt from it, as findings that params act on."""
