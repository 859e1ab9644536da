"""Source clips to shards: one clip (`clip`), the assignment to shards (`plan`), running it on many cores (`build`)."""
