"""Files, whatever they are about: written whole or not at all, hashed, foreign formats read safely.

Nothing that is read here is run; nothing here may know of images, methods or protocols.
"""
