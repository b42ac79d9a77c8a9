"""The embedded data set: people, rendered once into the user's cache.

`protocol` turns it into evaluation protocols, `dataset` keeps the cache, `render` makes a chunk of
images from what `sampler` drew, and the other modules are the parts of the renderer.
"""
