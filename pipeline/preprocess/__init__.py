"""Source clips to shards: one clip (`source`, `clip`), one shard (`plan`, `shard`), all (`workers`, `build`)."""
