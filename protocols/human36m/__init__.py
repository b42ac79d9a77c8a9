"""Simplified Human3.6M: people cropped to 128 x 128 pixels in a studio."""
