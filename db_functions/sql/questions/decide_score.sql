-- What an insert would read, of what a model made of its pattern: the fields are columns of
-- pattern_events and keys of its ml_metadata.
create function ml_internal.decide_score(score jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
declare
    g        record;
    s        record;
    rule     double precision;
    ml       double precision;
    decided  text;
    blended  double precision;
begin
    select * into strict g from jsonb_to_record(score) r (
        rule_confidence double precision, detected_at_us bigint, reason text, ml_confidence real,
        probabilities real[], quality real, bars integer, model_version text, error text);
    select version, enabled, threshold, ml_weight, rule_weight into strict s from ml.settings;
    rule := ml_internal.usable_rule(g.rule_confidence);
    ml := g.ml_confidence;
    decided := ml_internal.decide(ml, rule, g.reason, s.enabled, s.threshold);
    blended := ml_internal.blended(ml, rule, s.ml_weight, s.rule_weight);
    return jsonb_build_object(
        'confidence', case when decided = 'scored' then blended else rule end,
        'source', case when decided = 'scored' then 'blend' else 'rule' end,
        'reason', decided,
        'rule_confidence', rule,
        'blended_confidence', blended,
        'ml_confidence', ml,
        'prediction_class', ml_internal.predicted_class(g.probabilities),
        'probabilities', to_jsonb(g.probabilities),
        'model_version', case when ml is not null then g.model_version end,
        'quality', round(g.quality::numeric, 4), 'bars', g.bars,
        'detected_at', 'epoch'::timestamptz + g.detected_at_us * interval '1 microsecond',
        'ml_weight', s.ml_weight, 'rule_weight', s.rule_weight, 'threshold', s.threshold,
        'settings_version', s.version, 'error', g.error);
end
$$;
comment on function ml_internal.decide_score(jsonb) is
    'Internal: the answer to a question for a score, decided as a row would be';
