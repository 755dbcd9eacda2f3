select ml.review_suspects()
