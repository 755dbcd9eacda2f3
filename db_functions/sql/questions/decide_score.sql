-- What an insert would read, of what a model made of its pattern: the fields are columns of
-- pattern_events and keys of its ml_metadata.
create function ml_internal.decide_score(
    rule double precision, detected_at timestamptz, reason text, ml_confidence real,
    probabilities real[], quality real, bars integer, model_version text, error text)
returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
    select jsonb_build_object(
        'confidence', case when d.reason = 'scored' then d.blended else d.rule end,
        'source', case when d.reason = 'scored' then 'blend' else 'rule' end,
        'reason', d.reason,
        'rule_confidence', d.rule,
        'blended_confidence', d.blended,
        'ml_confidence', ml_confidence::double precision,
        'prediction_class', ml_internal.predicted_class(probabilities),
        'probabilities', to_jsonb(probabilities),
        'model_version', case when ml_confidence is not null then model_version end,
        'quality', round(quality::numeric, 4), 'bars', bars, 'detected_at', detected_at,
        'ml_weight', s.ml_weight, 'rule_weight', s.rule_weight, 'threshold', s.threshold,
        'settings_version', s.version, 'error', error)
    from ml.settings s
    cross join lateral (
        select u.rule, ml_internal.decide(ml_confidence, u.rule, decide_score.reason, s.enabled,
                                          s.threshold) as reason,
               ml_internal.blended(ml_confidence, u.rule, s.ml_weight, s.rule_weight) as blended
        from (select ml_internal.usable_rule(decide_score.rule) as rule) u) d
$$;
comment on function ml_internal.decide_score(
    double precision, timestamptz, text, real, real[], real, integer, text, text) is
    'Internal: the answer to a question, decided as a row would be';
