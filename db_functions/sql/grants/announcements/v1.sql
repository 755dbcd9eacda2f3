alter function ml.announce_scores(uuid[]) owner to ml_owner;
revoke all on function ml.announce_scores(uuid[]) from public;
grant execute on function ml.announce_scores(uuid[]) to ml_worker;
