"""The deployable artefact: written, read and verified without torch."""
