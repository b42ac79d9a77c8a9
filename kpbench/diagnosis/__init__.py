"""What a score does not tell: equivariance, labels needed, hits, shares, disagreement.

A diagnosis reads detections, draws them, or asks a fitted method; none may change a score.
"""
