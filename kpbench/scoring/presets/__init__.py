"""Rules of the papers' released evaluation code that several data sets share, as data.

Only citations and rules of more than one data set may enter; the others lie with their data set.

Three rules of thumb when reading: a factor on keypoints or labels alone changes no least-squares
fit, so pixels of 128, 255 or 256 in the papers' fits are not repeated here; a subtracted constant
does change a fit without bias, so `centre` is; and a standardised fit without intercept is a fit
with bias.
"""
