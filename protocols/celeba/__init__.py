"""CelebA: faces of celebrities, aligned and as photographed, tested on MAFL."""
