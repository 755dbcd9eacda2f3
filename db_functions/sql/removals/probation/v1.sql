drop function ml.review_suspects();
