"""What a score does not tell: equivariance, label efficiency, foreground hits, disagreement.

A diagnosis reads detections, draws them, or asks a fitted method; none may change a score.
"""
