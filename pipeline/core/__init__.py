"""Shared basics that every other package may import: paths, files, errors, logs, resources, Ray."""
