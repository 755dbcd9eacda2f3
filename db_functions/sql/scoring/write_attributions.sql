-- One score explained: arrays are parallel, a member each, a null name for the whole; contributions
-- are flattened, and so are standard errors, NaN where a contribution is exact. Again for the same
-- score it replaces what was there.
create or replace function ml_internal.write_attributions(
    pattern_id       uuid,
    version          text,
    scored_at        timestamptz,
    sampled          boolean,
    members          text[],
    scales           text[],
    bases            double precision[],
    answers          double precision[],
    contributions    double precision[],
    standard_errors  double precision[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    model  integer;
    width  integer;
begin
    select m.id, cardinality(m.feature_names) into model, width from ml.models m
    where m.version = write_attributions.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    if not exists (select from ml.predictions p
                   where p.pattern_id = write_attributions.pattern_id and p.model_id = model
                     and p.scored_at = write_attributions.scored_at) then
        raise exception 'model % did not score pattern % at %', version, pattern_id, scored_at
            using errcode = 'no_data_found',
                  hint = 'Predictions are kept for the setting keep_predictions.';
    end if;
    if cardinality(contributions) <> width * cardinality(members)
        or cardinality(standard_errors) <> cardinality(contributions) then
        raise exception 'model % has % features, so % members have % contributions '
                        'and standard errors, not % and %',
                version, width, cardinality(members), width * cardinality(members),
                cardinality(contributions), cardinality(standard_errors)
            using errcode = 'array_subscript_error';
    end if;
    insert into ml_internal.attributed_scores as a (pattern_id, model_id, scored_at, member, scale,
                                                    base, answer, contributions, standard_errors,
                                           sampled, computed_at, computed_by)
    select write_attributions.pattern_id, model, write_attributions.scored_at, g.member, g.scale,
           g.base, g.answer, write_attributions.contributions[i * width + 1 : (i + 1) * width],
           nullif(e.errors, array_fill('NaN'::double precision, array[width])),
           write_attributions.sampled, clock_timestamp(), session_user
    from (select *, (n - 1)::integer as i
          from unnest(members, scales, bases, answers) with ordinality
              u (member, scale, base, answer, n)) g
    cross join lateral (select write_attributions.standard_errors[i * width + 1 : (i + 1) * width]
                        as errors) e
    on conflict on constraint attributed_scores_key do update set
        scale = excluded.scale, base = excluded.base, answer = excluded.answer,
        contributions = excluded.contributions, standard_errors = excluded.standard_errors,
        sampled = a.sampled or excluded.sampled, computed_at = excluded.computed_at,
        computed_by = excluded.computed_by;
end
$$;
comment on function ml_internal.write_attributions(uuid, text, timestamptz, boolean, text[], text[],
                                                   double precision[], double precision[],
                                                   double precision[], double precision[]) is
    'Keeps why a score is what it is, as training explained it';
