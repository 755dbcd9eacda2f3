create or replace function ml.gates(version text)
    returns table (gate text, passed boolean, found text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    model     record;
    refused   text;
    champion  record;
    parity    record;
    workers   text;
    c         record;
    s         record;
    bound     double precision;
begin
    select m.id, m.version, m.metrics into model from ml.models m where m.version = gates.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    select * into strict s from ml.settings;
    select h.model_id as id, h.version, m.algorithm = 'first_passage'
               or m.metrics #>> '{candidates,kept}' is not distinct from 'first_passage'
               as arithmetic
        into champion
    from ml_internal.champion h join ml.models m on m.id = h.model_id;

    select p.* into parity from ml_internal.deciding_parity p where p.model_id = model.id;
    if parity.model_id is null then
        return query select 'parity', false, 'no parity check is recorded for it';
    else
        return query select 'parity', parity.passed,
            format('its newest parity check %s: off by %s over %s rows, %s allowed',
                   case when parity.passed then 'passed' else 'failed' end,
                   parity.max_abs_diff, parity.rows, parity.tolerance);
    end if;
    -- Of every model, the first champion included: one that is surely worse than arithmetic, or
    -- than chance, is worse than none.
    if jsonb_typeof(model.metrics -> 'refused') = 'array' then
        select string_agg(r, '; ') into refused
        from jsonb_array_elements_text(model.metrics -> 'refused') r;
    end if;
    return query select 'evidence', refused is null,
        coalesce('its own evidence speaks against it: ' || refused,
                 'its own evidence does not speak against it');
    -- A first champion that passes these is better than none, and there is no other to compare it
    -- with.
    if champion.id is null or champion.id = model.id or s.gate_pairs = 0 then
        return;
    end if;
    -- Arithmetic has learnt nothing that rows could contradict: what a model's recipe showed on
    -- forward folds is enough to follow it, and unseen rows can demote it.
    if champion.arithmetic
       and jsonb_typeof(model.metrics #> '{evidence,brier_minus_first_passage}') = 'object'
    then
        return query select 'forward_folds',
            coalesce((e.found ->> 'value')::double precision <= s.gate_margin, false),
            format('on %s rows (%s) its Brier score less that of first passage is %s [%s, %s]; '
                   'at most %s is allowed',
                   model.metrics #>> '{evidence,rows}', model.metrics #>> '{evidence,measured_on}',
                   coalesce(round((e.found ->> 'value')::numeric, 5)::text, 'unknown'),
                   coalesce(round((e.found ->> 'low')::numeric, 5)::text, 'unknown'),
                   coalesce(round((e.found ->> 'high')::numeric, 5)::text, 'unknown'),
                   s.gate_margin)
        from (select model.metrics #> '{evidence,brier_minus_first_passage}' as found) e;
        return;
    end if;

    select string_agg(distinct w.version, ', ') into workers
    from ml_internal.live_workers w
    where w.kind = 'worker' and not exists (
        select from ml.parity_checks p
        where p.model_id = model.id and p.passed
          and starts_with(p.runtime, format('worker %s, ', w.version)));
    return query select 'worker_parity', workers is null,
        case when workers is null then 'every worker version that runs has replayed its golden rows'
             else format('workers of version %s have not replayed its golden rows', workers) end;

    select * into c from ml_internal.compare_shadow(model.id, champion.id, s.shadow_window) d
    where d.pattern_type is null;
    return query select 'pairs', coalesce(c.pairs, 0) >= s.gate_pairs,
        format('%s rows scored beside champion %s, %s needed', coalesce(c.pairs, 0),
               champion.version, s.gate_pairs);
    return query select 'labels', coalesce(c.labels, 0) >= s.gate_labels,
        format('%s of them have an outcome, %s needed', coalesce(c.labels, 0), s.gate_labels);
    bound := c.brier_difference
        + ml_internal.t_quantile(s.gate_confidence, c.blocks - 1) * c.brier_error;
    return query select 'not_worse', coalesce(bound <= s.gate_margin, false),
        case when bound is null then 'no interval of the difference yet'
             else format('Brier score %s against %s; at %s %% confidence the difference is '
                         'below %s, at most %s is allowed',
                         round(c.challenger_brier::numeric, 5), round(c.champion_brier::numeric, 5),
                         s.gate_confidence * 100, round(bound::numeric, 5), s.gate_margin) end;
    return query select 'calibration', coalesce(c.calibration_error <= s.gate_calibration, false),
        case when c.calibration_error is null then 'no outcome yet'
             else format('calibration error %s, at most %s is allowed',
                         round(c.calibration_error::numeric, 4), s.gate_calibration) end;
    return query select 'latency', coalesce(c.inference_p99_ms <= s.sla_ms, false),
        case when c.inference_p99_ms is null then 'no batch scored yet'
             else format('it takes %s ms a batch (99th percentile), the service level is %s ms',
                         round(c.inference_p99_ms::numeric, 1), s.sla_ms) end;
end
$$;
comment on function ml.gates(text) is
    'What a model must have shown before ml.promote makes it the champion, and what it has';
