"""Preprocessed clips as WebDataset tars with a parquet index. Only this package uses WebDataset."""
