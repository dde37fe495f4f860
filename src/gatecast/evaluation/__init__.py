"""Evidence: forecasts from past cutoffs, beside the truth and what a naive forecast gives."""
