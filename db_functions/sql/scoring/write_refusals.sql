-- Dead letters of rows that did not let themselves be written, as ml_internal.write_failures.
create function ml_internal.write_refusals(
    source text, model integer, refused ml_internal.refusal[], written_at timestamptz)
    returns uuid[]
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select ml_internal.write_failures(source, model, array(
        select row(f.pattern_id, f.error, 1, jsonb_strip_nulls(jsonb_build_object(
                       'symbol', p.symbol, 'timeframe', p.timeframe,
                       'pattern_type', p.pattern_type, 'detected_at', p.detected_at,
                       'direction', p.direction, 'rule_confidence', p.rule_confidence,
                       'support', p.support, 'resistance', p.resistance, 'target', p.target,
                       'entry', p.entry, 'stoploss', p.stoploss)), true)::ml_internal.failure
        from (select distinct on (r.pattern_id) r.* from unnest(refused) r) f
        left join public.pattern_events p on p.id = f.pattern_id), written_at)
$$;
comment on function ml_internal.write_refusals(
    text, integer, ml_internal.refusal[], timestamptz) is
    'Internal: dead letters of patterns that refused to be written; returns those that stay';
