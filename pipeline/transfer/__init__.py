"""Getting published files: HTTP with resume (`http`), several at once (`batch`), unpacking (`archives`)."""
