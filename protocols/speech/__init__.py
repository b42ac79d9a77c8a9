"""Speakers' lips on video and tongues on ultrasound, labelled by hand (Wrench and Balch-Tomes)."""
