"""What every other folder may use: paths, files, logs, resources, Ray."""
