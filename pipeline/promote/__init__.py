"""The gate between a newly trained model and the champion."""
