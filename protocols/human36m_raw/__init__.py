"""Human3.6M's whole frames, as h36m-fetch unpacks them."""
