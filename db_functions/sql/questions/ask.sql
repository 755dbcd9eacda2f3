-- Puts a question for the workers; ml.answer gives the answer. Another kind of question is another
-- line of `options`, and an entry in KINDS of worker/serving/questions.py.
create function ml.ask(kind text, question jsonb, timeout interval default '5 s') returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- Fields of the question that are none of a pattern.
    options  constant text[] := case kind when 'score' then '{}'::text[]
                                          when 'surface' then '{targets,stops}' end;
    most     constant integer := case kind when 'surface' then 1 else 1000 end;
    backlog  constant integer := 5000;
    listed   constant boolean := jsonb_typeof(question) = 'array';
    id       constant uuid := gen_random_uuid();
    asked    ml_internal.questions[];
    one      ml_internal.questions;
    given    jsonb;
    message  text;
    field    text;
    state    text;
    n        integer := 0;
begin
    if options is null or timeout is null or not timeout between '1 ms' and '60 s' then
        raise exception 'ml.ask takes a kind of question (score, surface) and a timeout of 1 ms '
                        'to 60 s, not (%, %)', kind, timeout
            using errcode = 'invalid_parameter_value';
    end if;
    -- Looked at before anything is read of it.
    if pg_column_size(question) > 4000000
       or listed and jsonb_array_length(question) not between 1 and most then
        raise exception 'a question holds 1 to % patterns, and at most 4 MB', most
            using errcode = 'invalid_parameter_value';
    end if;
    begin
        for given in select e from jsonb_array_elements(
            case when listed then question else jsonb_build_array(question) end) e
        loop
            n := n + 1;
            one := ml_internal.read_pattern(
                case when jsonb_typeof(given) = 'object' then given - options else given end);
            one.id := gen_random_uuid();
            one.question := id;
            one.place := case when listed then n else 0 end;
            one.kind := kind;
            one.options := coalesce((select jsonb_object_agg(o, given -> o) from unnest(options) o
                                     where given ? o), '{}');
            one.asker := session_user;
            one.expires_at := clock_timestamp() + timeout;
            perform ml_internal.check_levels(one.options);
            asked := asked || one;
        end loop;
    exception when data_exception or integrity_constraint_violation then
        get stacked diagnostics message = message_text, field = column_name,
                                state = returned_sqlstate;
        raise exception '%', case when listed then format('pattern %s: ', n) else '' end || message
            using errcode = state, column = field;
    end;
    if not exists (select from ml_internal.live_workers w where w.kind = 'worker') then
        raise exception 'no worker runs, so nothing answers questions'
            using errcode = 'ML006', hint = 'Start one: python -m worker run';
    end if;
    if (select count(*) from (select from ml_internal.questions q
                              where q.answer is null and q.expires_at > now()
                              limit backlog) w) + n > backlog then
        raise exception 'too many questions wait for an answer'
            using errcode = 'ML007', hint = 'Ask again later, or fewer patterns at once.';
    end if;
    insert into ml_internal.questions select a.* from unnest(asked) a;
    if (select s.doorbell = 'on' from ml.settings s) then
        perform ml_internal.notify((select d.channel from ml_internal.doorbell d), 'question');
    end if;
    return id;
end
$$;
comment on function ml.ask(text, jsonb, interval) is
    'Asks the workers about one pattern or a list of them, which are not inserted; '
    'ml.answer gives the answer after the commit';
