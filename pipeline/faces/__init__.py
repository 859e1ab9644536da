"""Finding faces, following them, and cutting them out."""
