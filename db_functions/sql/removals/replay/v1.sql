drop view ml.replay_differences;
drop table ml.replays;
drop function ml.explain_score(uuid);
drop function ml.write_replay(text, uuid[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real);
