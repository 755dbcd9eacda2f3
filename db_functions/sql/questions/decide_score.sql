-- What an insert would read, of what a model made of its pattern: the fields are columns of
-- pattern_events and keys of its ml_metadata.
create function ml_internal.decide_score(
    rule double precision, detected_at timestamptz, reason text, ml_confidence real,
    probabilities real[], quality real, bars integer, model_version text, error text)
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
declare
    s        record;
    usable   constant double precision := ml_internal.usable_rule(rule);
    ml       constant double precision := ml_confidence;
    decided  text;
    blended  double precision;
begin
    select version, enabled, threshold, ml_weight, rule_weight into strict s from ml.settings;
    decided := ml_internal.decide(ml, usable, reason, s.enabled, s.threshold);
    blended := ml_internal.blended(ml, usable, s.ml_weight, s.rule_weight);
    return jsonb_build_object(
        'confidence', case when decided = 'scored' then blended else usable end,
        'source', case when decided = 'scored' then 'blend' else 'rule' end,
        'reason', decided,
        'rule_confidence', usable,
        'blended_confidence', blended,
        'ml_confidence', ml,
        'prediction_class', ml_internal.predicted_class(probabilities),
        'probabilities', to_jsonb(probabilities),
        'model_version', case when ml is not null then model_version end,
        'quality', round(quality::numeric, 4), 'bars', bars, 'detected_at', detected_at,
        'ml_weight', s.ml_weight, 'rule_weight', s.rule_weight, 'threshold', s.threshold,
        'settings_version', s.version, 'error', error);
end
$$;
comment on function ml_internal.decide_score(
    double precision, timestamptz, text, real, real[], real, integer, text, text) is
    'Internal: the answer to a question, decided as a row would be';
