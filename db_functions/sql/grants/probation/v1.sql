alter function ml.review_suspects() owner to ml_owner;
revoke all on function ml.review_suspects() from public;
grant execute on function ml.review_suspects() to ml_worker;
