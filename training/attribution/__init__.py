"""Why a model answered as it did: what each feature contributed to an answer, for every member and for the whole.

Contributions are Shapley values (Shapley, *A value for n-person games*, 1953) of the game in which a coalition of
features has the values of the explained row and the other features have those of a background row, averaged over the
background: interventional, after Janzing et al., *Feature relevance quantification in explainable AI* (2020). They add
up to the answer less the mean answer over the background.
"""
