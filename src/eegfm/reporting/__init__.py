"""Reports over many runs: tables, published numbers, comparisons, the dashboard, the page of a data set."""
