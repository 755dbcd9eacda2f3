-- A JSON object as the row that an insert of it would give. Writes nothing, so a standby can, too.
create function ml_internal.read_pattern(given jsonb) returns ml_internal.questions
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    fields   constant text[] := array[
        'symbol', 'timeframe', 'pattern_type', 'detected_at', 'started_at', 'direction', 'verdict',
        'support', 'resistance', 'target', 'entry', 'stoploss', 'rule_confidence', 'confidence',
        'metadata'];
    needed   constant text[] := array['symbol', 'timeframe', 'pattern_type'];
    field    text;
    problem  text;
    p        ml_internal.questions;
begin
    if jsonb_typeof(given) is distinct from 'object' then
        raise exception 'a pattern is a JSON object whose fields are columns of pattern_events'
            using errcode = 'invalid_parameter_value';
    end if;
    select k into field from jsonb_object_keys(given) k where k <> all (fields) limit 1;
    if found then
        field := left(field, 60);
        problem := 'is not asked about; fields are ' || array_to_string(fields, ', ');
    else
        select f, 'must be a text' || case when f = any (needed) then '' else ', or null' end
        into field, problem
        from unnest(needed || array['verdict', 'detected_at', 'started_at']) f
        where coalesce(jsonb_typeof(given -> f), 'null')
              not in ('string', case when f = any (needed) then 'string' else 'null' end)
        limit 1;
    end if;
    if field is null then
        begin
            p := jsonb_populate_record(null::ml_internal.questions, given);
        exception when data_exception then
            -- Which of them? A cast does not say.
            foreach field in array fields loop
                begin
                    perform jsonb_populate_record(
                        null::ml_internal.questions, jsonb_build_object(field, given -> field));
                exception when data_exception then
                    problem := 'cannot be read: ' || sqlerrm;
                    exit;
                end;
            end loop;
            if problem is null then
                raise;
            end if;
        end;
    end if;
    if problem is not null then
        raise exception '% %', field, problem
            using errcode = 'invalid_parameter_value', column = field;
    end if;
    return ml_internal.take_in(p);
end
$$;
comment on function ml_internal.read_pattern(jsonb) is
    'Internal: a pattern in JSON as an insert would take it in; an error names its field';
