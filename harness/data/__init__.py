"""Two small data sets; `backproof.datasets` reads them and says where they come from."""
