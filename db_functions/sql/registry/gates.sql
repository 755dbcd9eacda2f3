create or replace function ml.gates(version text)
    returns table (gate text, passed boolean, found text, hint text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    model     record;
    refused   text;
    champion  record;
    parity    record;
    workers   text;
    c         record;
    s         record;
    error     double precision;
    bound     double precision;
    power     double precision;
    worse     text;
begin
    select m.id, m.version, m.metrics,
           ml_internal.is_arithmetic(m.algorithm, m.metrics) as arithmetic
        into model
    from ml.models m where m.version = gates.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    select * into strict s from ml.settings;
    select h.model_id as id, h.version,
           ml_internal.is_arithmetic(m.algorithm, m.metrics) as arithmetic,
           ml_internal.surely_worse(h.version) as worse
        into champion
    from ml_internal.champion h join ml.models m on m.id = h.model_id;

    select p.* into parity from ml_internal.deciding_parity p where p.model_id = model.id;
    if parity.model_id is null then
        return query select 'parity', false, 'no parity check is recorded for it',
            'publish it with python -m training register, which checks it';
    else
        return query select 'parity', parity.passed,
            format('its newest parity check %s: off by %s over %s rows, %s allowed',
                   case when parity.passed then 'passed' else 'failed' end,
                   parity.max_abs_diff, parity.rows, parity.tolerance),
            case when not parity.passed
                 then 'export it again: served, it would answer differently than it was trained'
                 end;
    end if;
    -- Of every model, the first champion included: one that is surely worse than arithmetic, or
    -- than chance, is worse than none.
    if jsonb_typeof(model.metrics -> 'refused') = 'array' then
        select string_agg(r, '; ') into refused
        from jsonb_array_elements_text(model.metrics -> 'refused') r;
    end if;
    return query select 'evidence', refused is null,
        coalesce('its own evidence speaks against it: ' || refused,
                 'its own evidence does not speak against it'),
        case when refused is not null
             then 'first passage (python -m worker first-passage) serves better; train on more '
                  'rows before trying again' end;
    -- What unseen rows say. The bounds of ml.skill hold however often it is asked.
    worse := ml_internal.surely_worse(model.version);
    if worse is not null then
        return query select 'skill', false, format('it is surely worse %s', worse),
            'do not serve it: the rule, first passage or a constant serves better'::text;
    end if;
    -- A first champion that passes these is better than none, and there is no other to compare it
    -- with.
    if champion.id is null or champion.id = model.id or s.gate_pairs = 0 then
        return;
    end if;
    -- Arithmetic has learnt nothing that unseen rows could contradict, so it follows a champion
    -- that they show to be worse than arithmetic, the rule or chance.
    if model.arithmetic and champion.worse is not null then
        return;
    end if;
    -- What a model's recipe showed on forward folds is enough to follow a champion without skill;
    -- unseen rows can demote it.
    if (champion.arithmetic or champion.worse is not null)
       and jsonb_typeof(model.metrics #> '{evidence,brier_minus_first_passage}') = 'object'
    then
        return query select 'forward_folds',
            coalesce((e.found ->> 'value')::double precision <= 0, false),
            format('on %s rows (%s) its Brier score less that of first passage is %s [%s, %s]; '
                   'at most 0 is allowed',
                   model.metrics #>> '{evidence,rows}', model.metrics #>> '{evidence,measured_on}',
                   coalesce(round((e.found ->> 'value')::numeric, 5)::text, 'unknown'),
                   coalesce(round((e.found ->> 'low')::numeric, 5)::text, 'unknown'),
                   coalesce(round((e.found ->> 'high')::numeric, 5)::text, 'unknown')),
            case when coalesce((e.found ->> 'value')::double precision > 0, true)
                 then 'keep first passage; train again when more outcomes are known' end
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
             else format('workers of version %s have not replayed its golden rows', workers) end,
        case when workers is not null
             then format('ml.challenge(%L, 1, 0, reason) makes them load it', model.version) end;

    select * into c from ml_internal.compare_shadow(model.id, champion.id, s.shadow_window) d
    where d.pattern_type is null;
    return query select 'pairs', coalesce(c.pairs, 0) >= s.gate_pairs,
        format('%s rows that neither had seen scored beside champion %s, %s needed',
               coalesce(c.pairs, 0), champion.version, s.gate_pairs),
        case when coalesce(c.pairs, 0) < s.gate_pairs
             then format('let it challenge, ml.challenge(%L, 1, 0, reason), and wait for rows',
                         model.version) end;
    return query select 'labels', coalesce(c.labels, 0) >= s.gate_labels,
        format('%s of them have an outcome, %s needed', coalesce(c.labels, 0), s.gate_labels),
        case when coalesce(c.labels, 0) < s.gate_labels
             then format('outcomes are known %s bars after a pattern; ml.label gives them sooner',
                         s.label_horizon) end;
    -- Without a margin the question is whether it is better: an equal one rarely passes.
    error := ml_internal.t_quantile(s.gate_confidence, c.blocks - 1) * c.brier_error;
    bound := c.brier_difference + error;
    power := ml_internal.normal_tail((error - s.gate_margin) / nullif(c.brier_error, 0));
    return query select case when s.gate_margin > 0 then 'not_worse' else 'better' end,
        coalesce(bound <= s.gate_margin, false),
        case when bound is null then 'no interval of the difference yet'
             else format('Brier score %s against %s; at %s %% confidence the difference is '
                         'below %s, at most %s is allowed; a model equal to the champion '
                         'passes with probability %s %% on so many rows',
                         round(c.challenger_brier::numeric, 5), round(c.champion_brier::numeric, 5),
                         s.gate_confidence * 100, round(bound::numeric, 5), s.gate_margin,
                         round((100 * power)::numeric)) end,
        case when bound <= s.gate_margin then null
             when c.brier_difference > error then 'it is surely worse: retire it'
             when s.gate_margin = 0
             then 'only a better model passes a gate_margin of 0; it takes a larger one for a '
                  'model that is as good'
             when power < 0.8
             -- The error falls with the root of the rows.
             then format('some %s labelled pairs let an equal model pass four times in five',
                         round((c.labels * ((error / c.brier_error + 0.8416) * c.brier_error
                                            / s.gate_margin) ^ 2)::numeric, -2))
             else 'rows enough: it does not look as good as the champion' end;
    return query select 'calibration', coalesce(c.calibration_error <= s.gate_calibration, false),
        case when c.calibration_error is null then 'no outcome yet'
             else format('calibration error %s, at most %s is allowed',
                         round(c.calibration_error::numeric, 4), s.gate_calibration) end,
        case when c.calibration_error > s.gate_calibration
             then 'its probabilities are off: calibrate it on newer rows' end;
    return query select 'latency', coalesce(c.inference_p99_ms <= s.sla_ms, false),
        case when c.inference_p99_ms is null then 'no batch scored yet'
             else format('it takes %s ms a batch (99th percentile), the service level is %s ms',
                         round(c.inference_p99_ms::numeric, 1), s.sla_ms) end,
        case when c.inference_p99_ms > s.sla_ms
             then 'a smaller ensemble answers sooner; sla_ms is the setting' end;
end
$$;
comment on function ml.gates(text) is
    'What a model must have shown before ml.promote makes it the champion, and what it has';
