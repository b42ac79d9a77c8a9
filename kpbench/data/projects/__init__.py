"""A laboratory's labelled project as a protocol: DeepLabCut, Lightning Pose, COCO, SLEAP.

One module a format, each with `is_one` and `read`, may enter, and what makes a protocol of any.
"""
