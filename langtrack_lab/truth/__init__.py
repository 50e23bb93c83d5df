"""Ground truth from files, read the same way for data sets, for an evaluation and on the page."""
