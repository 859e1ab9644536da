"""Where clips come from: one module a source, and the manifest that all of them write."""
