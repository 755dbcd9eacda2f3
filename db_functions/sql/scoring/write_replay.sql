-- Scores of the past made again, by training; the rows keep theirs.
create function ml_internal.write_replay(
    version text, inference_ms real, scores ml_internal.score[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    model  integer;
    done   record;
begin
    select m.id into model from ml.models m where m.version = write_replay.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    if exists (select from unnest(scores) g where g.run <> 1) then
        raise exception 'a replay is of one model' using errcode = 'invalid_parameter_value';
    end if;
    select w.* into done
    from ml_internal.write_scores(
        'replay',
        array[row(model, 'replay', inference_ms, 0, null, null, null, null)::ml_internal.run],
        scores, '{}', '{}',
        null, '{}', 0, 0, false, null) w;
    insert into ml.replays (scored_at, pattern_id, model_id)
    select done.written_at, (scores[w]).pattern_id, model from unnest(done.written) w
    where (scores[w]).ml_confidence is not null;
    return coalesce(cardinality(done.written), 0);
end
$$;
comment on function ml_internal.write_replay(text, real, ml_internal.score[]) is
    'Logs scores that a model gives to rows of the past; returns how many';
