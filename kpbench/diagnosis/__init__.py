"""What a score does not tell: equivariance, label efficiency, disagreement of evaluators.

A diagnosis reads detections or asks a fitted method; none may change a score.
"""
