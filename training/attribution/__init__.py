"""Why a model answered as it did: each feature's part in an answer, for every member and for the whole.

Parts are Shapley values (Shapley, *A value for n-person games*, 1953) of the game in which a coalition of features has
its values from the row explained and the others have theirs from a background row, averaged over the background:
interventional, after Janzing et al., *Feature relevance quantification in explainable AI* (2020). They add up to the
answer less the mean answer over the background.
"""
