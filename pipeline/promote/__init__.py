"""The promotion gate: compares a newly trained model with the champion and moves the registry's aliases."""
