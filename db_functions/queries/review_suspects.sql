select ml_internal.review_suspects()
