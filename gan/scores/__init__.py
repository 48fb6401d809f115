"""FID, KID, Inception Score, precision and recall."""
