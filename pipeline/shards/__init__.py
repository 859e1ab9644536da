"""Preprocessed clips as WebDataset tars with a parquet index: the only package that knows WebDataset."""
