"""How the tools of laboratories keep labels: DeepLabCut, Lightning Pose, COCO, SLEAP.

One module a format, with `is_one` and `read`, may enter, and what such modules share.
"""
