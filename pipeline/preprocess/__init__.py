"""Source clips to shards: one clip (`footage`, `segments`, `clip`), one shard (`plan`, `shard`), all (`build`)."""
