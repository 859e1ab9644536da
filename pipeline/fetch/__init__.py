"""HTTP downloads and unpacking of archives."""
