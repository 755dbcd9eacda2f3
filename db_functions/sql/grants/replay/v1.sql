alter view ml.replay_differences owner to ml_owner;
alter table ml.replays owner to ml_owner;
alter function ml.explain_score(uuid) owner to ml_owner;
alter function ml.write_replay(text, uuid[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real) owner to ml_owner;
revoke all on function ml.explain_score(uuid) from public;
revoke all on function ml.write_replay(text, uuid[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real) from public;
grant select on ml.replays, ml.replay_differences to ml_analyst, ml_publisher, ml_operator;
grant execute on function ml.explain_score(uuid) to ml_analyst, ml_publisher, ml_operator;
grant execute on function ml.write_replay(text, uuid[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real) to ml_publisher;
