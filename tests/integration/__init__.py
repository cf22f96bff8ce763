"""Several parts together, as a user or a caller meets them."""
