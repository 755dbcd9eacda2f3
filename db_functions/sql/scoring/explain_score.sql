-- Where each score of a pattern came from, newest first.
create or replace function ml.explain_score(pattern_id uuid)
returns table (
    scored_at timestamptz, role text, version text, sha256 text, algorithm text, ml_confidence real,
    probabilities real[], reason text, alias_cause text, alias_since timestamptz, alias_set_by text,
    alias_reason text, alias_forced boolean, settings_version integer, settings jsonb,
    rule_confidence double precision, blended_confidence double precision, bars smallint,
    quality real, input_hash text, history jsonb, features jsonb, worker bigint, worker_host text,
    worker_pid integer, worker_version text, latency_ms double precision, inference_ms real)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select s.scored_at, s.role, m.version, m.sha256, m.algorithm, s.ml_confidence, s.probabilities,
           s.reason, a.cause, a.valid_from, a.set_by, a.reason, a.forced, s.settings_version,
           past.settings, s.rule_confidence, s.blended_confidence, s.bars, s.quality,
           encode(s.input_hash, 'hex'),
           jsonb_build_object('positive_rate', nullif(s.history[1], 'NaN'),
                              'count', nullif(s.history[2], 'NaN')), f.features,
           s.worker_id, w.host, w.pid, w.version, s.latency_ms, s.inference_ms
    from ml.predictions s
    join ml.models m on m.id = s.model_id
    left join ml.workers w on w.id = s.worker_id
    left join lateral (
        select a.* from ml.aliases a
        where a.model_id = s.model_id
          and a.alias = case s.role when 'champion' then 'champion' when 'replay' then ''
                             when 'standby' then '' else 'challenger' end
          and a.valid_from <= s.scored_at and s.scored_at < coalesce(a.valid_to, 'infinity')
        order by a.valid_from desc limit 1
    ) a on true
    cross join lateral (
        select jsonb_object_agg(n.name, n.value) as features
        -- JSON has neither NaN nor infinity: such features are null.
        from (select f.name, case when f.value not in ('NaN', 'Infinity', '-Infinity')
                                  then to_jsonb(f.value) end as value
              from unnest(m.feature_names, s.features) f (name, value) where f.name is not null) n
    ) f
    cross join lateral (
        -- As they were: what the first later change of each replaced, else what it is now.
        select jsonb_object_agg(n.key,
                                case when h.id is not null then to_jsonb(h.old_value)
                                     else to_jsonb(n.value) end) as settings
        from ml.settings now
        cross join lateral jsonb_each_text(to_jsonb(now) - 'singleton' - 'version') n
        left join lateral (
            select h.id, h.old_value from ml.settings_history h
            where h.name = n.key and h.version > s.settings_version order by h.version limit 1
        ) h on true
    ) past
    where s.pattern_id = explain_score.pattern_id
    order by s.scored_at desc
$$;
comment on function ml.explain_score(uuid) is
    'Every score of a pattern with its provenance: model, how it came '
    'to score, settings of the moment, inputs, worker, timings';
