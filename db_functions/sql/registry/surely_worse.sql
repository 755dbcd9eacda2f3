create function ml_internal.surely_worse(version text) returns text
language sql stable set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select string_agg(format('than %s by %s [%s, %s] of Brier score on %s rows',
                             replace(k.baseline, '_', ' '), round(-k.gain::numeric, 5),
                             round(-k.gain_high::numeric, 5), round(-k.gain_low::numeric, 5),
                             k.rows), '; ' order by k.baseline)
    from ml.skill k
    where k.model_version = surely_worse.version and k.score = 'ml' and k.surely = 'worse'
      and num_nulls(k.pattern_type, k.timeframe) = 2
$$;
comment on function ml_internal.surely_worse(text) is
    'Internal: than what unseen rows show a model to be surely worse, in words; null: than nothing';
