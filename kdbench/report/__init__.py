"""Tables, comparisons, plots and image grids, made from records alone; never imports torch."""
