"""Image file formats: what their headers state, and what is refused before a pixel is decoded."""
