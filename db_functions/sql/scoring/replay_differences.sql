create view ml.replay_differences with (security_invoker = true) as
select r.pattern_id, r.pattern_type, m.version as replayed_version, r.scored_at as replayed_at,
       o.version as original_version, o.role as original_role, o.scored_at as original_at,
       r.ml_confidence as replayed, o.ml_confidence as original,
       r.ml_confidence - o.ml_confidence as difference, r.input_hash = o.input_hash as same_inputs,
       (float4send(r.ml_confidence), r.probabilities, r.features) is not distinct from
       (float4send(o.ml_confidence), o.probabilities, o.features) as same_bits
from ml.replays e
join ml.predictions r on r.pattern_id = e.pattern_id and r.scored_at = e.scored_at
    and r.model_id = e.model_id and r.role = 'replay'
join ml.models m on m.id = r.model_id
cross join lateral (
    -- The same model's score if it made one, else the newest that was made.
    select o.*, om.version
    from ml.predictions o join ml.models om on om.id = o.model_id
    where o.pattern_id = r.pattern_id and o.role <> 'replay' and o.scored_at < r.scored_at
    order by o.model_id = r.model_id desc, o.scored_at desc limit 1
) o;
comment on view ml.replay_differences is
    'Replayed scores beside those that were made at the time; ask for a '
    'stretch of replayed_at, by which partitions are skipped';
comment on column ml.replay_differences.pattern_id is 'the pattern';
comment on column ml.replay_differences.pattern_type is 'of the pattern when it was replayed';
comment on column ml.replay_differences.replayed_version is 'the model that scored it again';
comment on column ml.replay_differences.replayed_at is 'when it was scored again';
comment on column ml.replay_differences.original_version is 'the model that scored it at the time';
comment on column ml.replay_differences.original_role is 'as whom that model scored';
comment on column ml.replay_differences.original_at is 'when it was scored';
comment on column ml.replay_differences.replayed is 'ml_confidence of the replay';
comment on column ml.replay_differences.original is 'ml_confidence of the original';
comment on column ml.replay_differences.difference is 'replayed less original';
comment on column ml.replay_differences.same_inputs is 'whether both saw the same inputs, by hash';
comment on column ml.replay_differences.same_bits is 'whether both answers agree in every bit';
