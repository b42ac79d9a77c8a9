"""From a scene to pixels: rasteriser, shading, and the renderer of whole chunks.

The only room of the people that knows how images are made on a device.
"""
