"""Progress, TensorBoard, plots and reports of searches."""
