"""Sources of clips: one or two modules per corpus, and the manifest that lists their clips."""
