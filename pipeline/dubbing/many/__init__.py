"""Dubs a list of jobs on several cores or a Ray cluster, and writes a row for each job."""
